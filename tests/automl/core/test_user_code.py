import pytest

from automl.core.errors import InputError
from automl.core.user_code import NOTHING, Named, names_code


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("mynet:make", True),
        ("my.pkg.mod:make", True),
        ("cifar_resnet20", False),
        ("timm:resnet50d", False),
        ("imagefolder:photos", False),
        ("mynet:make()", False),
    ],
)
def test_names_of_ours_are_no_code(spec: str, code: bool) -> None:
    assert names_code(spec) is code


def test_code_must_be_named_by_the_user_too() -> None:
    Named("mynet:make", "mydata:load").check_code(model="mynet:make", data="mydata:load")
    NOTHING.check_code(model="cifar_resnet20", data="digits")
    with pytest.raises(InputError, match="say so: `--model mynet:make`"):
        Named("other:make").check_code(model="mynet:make", data="digits")
    with pytest.raises(InputError, match="say so: `--data mydata:load`"):
        NOTHING.check_code(model="cifar_resnet20", data="mydata:load")
