import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

from automl.core.errors import ModelError
from automl.models.head import classifier_classes
from automl.models.registry import build, default_input_size, input_channels, list_models

_MODULE = """
from torch import nn

class Tiny(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3)
        self.fc = nn.Linear(8, classes)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))

def without_classes():
    return Tiny(6)

def not_a_network():
    return {"weights": 1}

def broken():
    raise RuntimeError("no such layer")

def needs_width(width):
    return Tiny(width)

number = 3
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Name of a module in the current folder."""
    name = "users_nets_for_test"
    (tmp_path / f"{name}.py").write_text(_MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield name
    sys.modules.pop(name, None)


@pytest.mark.parametrize("spec", ["timm:mobilenetv2_050", "torchvision:mobilenet_v3_small", "cifar_resnet20"])
def test_classes_set_the_number_of_logits(spec: str) -> None:
    assert classifier_classes(build(spec, classes=7)) == 7


def test_without_classes_a_network_has_its_own() -> None:
    assert classifier_classes(build("timm:mobilenetv2_050")) == 1000
    assert classifier_classes(build("torchvision:mobilenet_v3_small")) == 1000
    assert classifier_classes(build("cifar_resnet20")) == 10


def test_every_listed_model_has_an_input_size() -> None:
    sizes = {info.name: default_input_size(info.name) for info in list_models()}
    assert sizes.pop("cifar_resnet20") == sizes.pop("cifar_resnet32") == sizes.pop("cifar_resnet56") == 32
    assert set(sizes.values()) == {224}


def test_a_larger_network_has_a_larger_input_size() -> None:
    assert default_input_size("torchvision:efficientnet_b4") == 380
    assert default_input_size("timm:resnet18.a1_in1k") == 224


def test_a_factory_says_nothing_of_its_input_size(nets: str) -> None:
    assert default_input_size(f"{nets}:Tiny") is None


def test_input_channels_are_those_of_the_first_convolution(nets: str) -> None:
    assert input_channels(build("cifar_resnet20")) == 3
    assert input_channels(build(f"{nets}:Tiny")) == 1
    with pytest.raises(ModelError, match="Linear has none"):
        input_channels(nn.Linear(3, 3))


def test_a_factory_beside_the_command_is_found_and_given_the_classes(nets: str) -> None:
    assert classifier_classes(build(f"{nets}:Tiny", classes=3)) == 3
    assert classifier_classes(build(f"{nets}:Tiny")) == 4
    assert classifier_classes(build(f"{nets}:without_classes", classes=3)) == 6


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("not_a_network", "returned dict"),
        ("broken", "RuntimeError: no such layer"),
        ("needs_width", "missing 1 required positional argument: 'width'"),
        ("number", "is a int"),
        ("absent", "has no attribute 'absent'"),
    ],
)
def test_a_factory_that_makes_no_network_is_refused(nets: str, name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build(f"{nets}:{name}")


def test_a_missing_module_is_named_with_where_it_was_sought(nets: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"No module named 'no_such_module'.*{tmp_path.name}"):
        build("no_such_module:factory")


@pytest.mark.parametrize(
    ("spec", "offered"),
    [
        ("mobilenet_v2", "torchvision:mobilenet_v2"),
        ("mobilenetv2_100", "timm:mobilenetv2_100"),
        ("resnet50", "timm:resnet50, torchvision:resnet50"),
        ("torchvision:mobilenetv2", "torchvision:mobilenet_v2"),
        ("timm:mobilenet_v4_conv_small", "timm:mobilenetv4_conv_small"),
        ("cifar_resnet110", "cifar_resnet20"),
        ("timm:", "Write timm:NAME"),
        ("", "Write timm:NAME"),
    ],
)
def test_an_unknown_name_is_answered_with_near_ones(spec: str, offered: str) -> None:
    with pytest.raises(ModelError, match=offered):
        build(spec)


def test_a_detector_is_no_classifier() -> None:
    with pytest.raises(ModelError, match="torchvision has no classifier 'ssd300_vgg16'"):
        build("torchvision:ssd300_vgg16")


def test_a_hub_repository_is_not_reached_for() -> None:
    with pytest.raises(ModelError, match="timm has no model 'hf-hub:timm/resnet18'"):
        build("timm:hf-hub:timm/resnet18")


def test_an_unknown_tag_is_refused() -> None:
    with pytest.raises(ModelError, match=r"Invalid pretrained tag \(nonsense\)"):
        build("timm:resnet18.nonsense")
