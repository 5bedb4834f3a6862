import pytest
import torch
from torch import nn

from automl.core.errors import ModelError
from automl.models.head import classifier_classes, classifier_name, replace_head
from automl.models.registry import build


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("cifar_resnet20", "fc"),
        ("torchvision:mobilenet_v3_small", "classifier.3"),
        ("torchvision:squeezenet1_1", "classifier.1"),
        ("timm:mobilenetv4_conv_small", "classifier"),
        ("timm:regnety_002", "head.fc"),
    ],
)
def test_a_new_head_has_the_classes_asked_for(spec: str, name: str) -> None:
    network = build(spec)
    assert classifier_name(network) == name
    replace_head(network, 3)
    assert classifier_classes(network) == 3
    with torch.no_grad():
        assert network.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 3)


def test_a_new_head_leaves_every_other_weight_alone() -> None:
    network = build("cifar_resnet20")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    replace_head(network, 3)
    after = network.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items() if not key.startswith("fc."))


def test_a_new_head_keeps_type_and_lack_of_bias() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 5, bias=False)).double()
    replace_head(network, 2)
    assert isinstance(network[2], nn.Linear)
    assert network[2].bias is None
    assert network[2].weight.dtype == torch.float64


def test_a_depthwise_or_3x3_convolution_is_no_classifier() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 1, groups=4))
    assert classifier_name(network) == "0"


def test_a_network_without_classifier_is_refused() -> None:
    with pytest.raises(ModelError, match="Sequential has neither"):
        classifier_name(nn.Sequential(nn.Conv2d(3, 4, 3)))


def test_a_network_with_two_heads_is_refused() -> None:
    with pytest.raises(ModelError, match="has 2: head, head_dist"):
        classifier_name(build("timm:deit_tiny_distilled_patch16_224"))
