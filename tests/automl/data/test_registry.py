from pathlib import Path

import pytest

from automl.core.errors import DataError
from automl.data.registry import DATASETS, open_source
from automl.data.source import Request
from tests.automl.data.conftest import WriteImages

_REQUEST = Request(None, 3, None, 0)


def test_the_listing_names_every_source() -> None:
    sizes = {info.name: info.size for info in DATASETS}
    assert sizes == {
        "digits": 16,
        "synthetic:clutter": 32,
        "imagefolder:DIR": 224,
        "torchvision:CIFAR10?root=DIR": 32,
        "torchvision:CIFAR100?root=DIR": 32,
        "torchvision:FashionMNIST?root=DIR": 28,
        "torchvision:ImageNet?root=DIR": 224,
        "pkg.mod:factory": None,
    }


def test_options_reach_the_source() -> None:
    assert len(open_source("synthetic:clutter?images=600", _REQUEST).images) == 600


def test_a_folder_may_have_any_characters_in_its_name(tmp_path: Path, write_images: WriteImages) -> None:
    folder = tmp_path / "50% off? a+b:c"
    write_images(folder, 2)
    assert len(open_source(f"imagefolder:{folder}", _REQUEST).images) == 2


def test_the_root_of_a_torchvision_set_may_have_percent_and_plus_signs(tmp_path: Path) -> None:
    root = tmp_path / "50%20a+b"
    with pytest.raises(DataError, match=r"must lie in '.*50%20a\+b'"):
        open_source(f"torchvision:CIFAR10?root={root}", _REQUEST)


@pytest.mark.parametrize(
    ("spec", "answer"),
    [
        ("digit", "Did you mean digits"),
        ("clutter", "Did you mean synthetic:clutter"),
        ("synthetic:cluter", "Did you mean synthetic:clutter"),
        ("cifar10", r"Did you mean torchvision:CIFAR10\?root=DIR"),
        ("imagefolder", "Did you mean imagefolder:DIR"),
        ("imagefolder:", "Did you mean imagefolder:DIR"),
        ("torchvision:CIFAR11", "Did you mean torchvision:CIFAR10"),
        ("xyzzy", "Write one of digits, synthetic:clutter"),
        ("", "Write one of digits"),
        ("digits?size=8", "these options: none; but it has 'size=8'"),
        ("synthetic:clutter?images=many", "must be a whole number"),
        ("synthetic:clutter?images=-5", "must be a whole number"),
        ("synthetic:clutter?imgs=5", "these options: images=...; but it has 'imgs=5'"),
        ("torchvision:CIFAR10?root=", "these options: root=...; but it has 'root='"),
        ("torchvision:CIFAR10?download=1", "but it has 'download=1'"),
    ],
)
def test_a_wrong_name_or_option_is_answered_with_the_right_one(spec: str, answer: str) -> None:
    with pytest.raises(DataError, match=answer):
        open_source(spec, _REQUEST)


def test_a_bare_folder_is_answered_with_its_spec(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"write imagefolder:{tmp_path}"):
        open_source(str(tmp_path), _REQUEST)
