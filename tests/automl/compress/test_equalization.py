import pytest
import torch
from torch import Tensor, nn

from automl.compress.equalization import CappedReLU, equalize
from automl.compress.folding import fold, foldable
from automl.compress.surgery import slim
from automl.tracing.trace import trace
from tests.families import lively

IMAGES = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))


class Chain(nn.Module):
    """Two convolutions and a classifier, with an activation of choice between the convolutions."""

    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.between = between
        self.second = nn.Conv2d(4, 5, 3)
        self.head = nn.Linear(5, 2)
        with torch.no_grad():
            self.first.weight.mul_(torch.tensor([0.01, 1.0, 10.0, 100.0])[:, None, None, None])

    def forward(self, images: Tensor) -> Tensor:
        maps = self.second(self.between(self.first(images)))
        logits: Tensor = self.head(maps.square().mean(dim=(2, 3)))
        return logits


def reaches(weight: Tensor, dim: int) -> Tensor:
    return weight.detach().abs().transpose(0, dim).flatten(1).amax(dim=1)


@pytest.mark.parametrize("between", [nn.ReLU(), nn.Identity(), nn.LeakyReLU(), nn.ReLU6()])
def test_both_sides_of_a_channel_reach_equally_far_and_the_answers_stay(between: nn.Module) -> None:
    torch.manual_seed(0)
    network = Chain(between).eval()
    graph = trace(network, (3, 64, 64)).graph
    with torch.no_grad():
        wanted = network(IMAGES)
        assert equalize(network, graph, IMAGES) == (("first", "second"),)
        given = network(IMAGES)
    assert torch.allclose(reaches(network.first.weight, 0), reaches(network.second.weight, 1), rtol=1e-4)
    assert float((given - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())


def test_a_relu6_saturates_where_it_did_on_other_images_too() -> None:
    torch.manual_seed(0)
    network = Chain(nn.ReLU6()).eval()
    graph = trace(network, (3, 64, 64)).graph
    bright = 30 * torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        wanted = network(bright)
        equalize(network, graph, IMAGES)
        given = network(bright)
    assert isinstance(network.between, CappedReLU)
    assert float((given - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())


@pytest.mark.parametrize("between", [nn.SiLU(), nn.Hardtanh(0.0, 6.0), nn.Sigmoid()])
def test_what_does_not_pass_a_scale_on_is_left_alone(between: nn.Module) -> None:
    torch.manual_seed(0)
    network = Chain(between).eval()
    graph = trace(network, (3, 64, 64)).graph
    before = network.first.weight.clone()
    assert equalize(network, graph, IMAGES) == ()
    assert torch.allclose(network.first.weight, before, rtol=1e-5)


@pytest.mark.parametrize(
    ("spec", "pairs"),
    [
        # 17 blocks: (expansion or stem, depthwise), (depthwise, projection). Two projections that are not added to
        # anything, each with the next block's expansion, or the last convolution; and that with the classifier.
        ("torchvision:mobilenet_v2", 2 * 17 + 2 + 1),
        ("cifar_resnet20", 9),  # the inner channels of each block
    ],
)
def test_whole_networks_answer_as_before(spec: str, pairs: int) -> None:
    model = lively(spec)
    traced = trace(model, (3, 64, 64))
    network = slim(model, traced.channel_map, {}, own_memory=True).eval()
    fold(network, foldable(model, traced, IMAGES))
    with torch.no_grad():
        wanted = model(IMAGES)
        found = equalize(network, traced.graph, IMAGES)
        given = network(IMAGES)
    assert len(found) == pairs
    assert float((given - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())
