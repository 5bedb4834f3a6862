import pytest
import torch

from automl.models.cifar_resnet import CifarResNet


def _parameters_by_hand(depth: int, classes: int) -> int:
    """Weights of every convolution, two values per channel of every batch norm, the classifier with its bias."""
    blocks = (depth - 2) // 6
    stem = 9 * 3 * 16 + 2 * 16
    stages = 0
    for width in (16, 32, 64):
        stages += (2 * blocks - 1) * (9 * width * width + 2 * width)  # all but the first convolution of the stage
    stages += 9 * (16 * 16 + 16 * 32 + 32 * 64) + 2 * (16 + 32 + 64)  # those first ones
    shortcuts = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    return stem + stages + shortcuts + 64 * classes + classes


def test_resnet20_has_the_published_parameters_and_two_projections() -> None:
    # He et al. 2016, table 6, without projections: 269,722 for 10 classes.
    projections = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert sum(p.numel() for p in CifarResNet(20).parameters()) == 269_722 + projections


@pytest.mark.parametrize("depth", [20, 32, 56])
def test_parameters_are_those_counted_by_hand(depth: int) -> None:
    assert sum(p.numel() for p in CifarResNet(depth, 7).parameters()) == _parameters_by_hand(depth, 7)


@pytest.mark.parametrize("size", [16, 32])
def test_any_input_size_gives_one_row_of_logits_per_image(size: int) -> None:
    assert CifarResNet(20, 5).eval()(torch.zeros(2, 3, size, size)).shape == (2, 5)


def test_the_last_map_is_a_quarter_of_the_image() -> None:
    network = CifarResNet(20).eval()
    shapes: list[torch.Size] = []
    network.layer3.register_forward_hook(lambda _module, _inputs, output: shapes.append(output.shape))
    network(torch.zeros(1, 3, 32, 32))
    assert shapes == [torch.Size([1, 64, 8, 8])]
