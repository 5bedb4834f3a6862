import numpy as np
import pytest
import torch
from torch import Tensor, nn

from automl.compress.folding import fold, foldable
from automl.compress.surgery import slim
from automl.tracing.trace import trace
from tests.families import lively

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


class ReadTwice(nn.Module):
    """What its first convolution returns is normalised, and read without that as well, as in a network of He 2016."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stem(images)
        maps = maps + self.inner(self.norm(maps).relu())
        logits: Tensor = self.head(maps.mean(dim=(2, 3)))
        return logits


def norms_of(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.mark.parametrize(
    ("spec", "left"),
    [
        ("cifar_resnet20", 0),
        ("torchvision:mobilenet_v2", 0),
        ("timm:mobilenetv3_small_100", 0),
        ("timm:resnet18", 0),
        ("torchvision:densenet121", 62),  # norms that read a concatenation
    ],
)
def test_a_folded_network_answers_what_the_sliced_one_answers(spec: str, left: int) -> None:
    model = lively(spec)
    traced = trace(model, (3, 64, 64))
    norms = foldable(model, traced, IMAGES)
    generator = np.random.default_rng(0)
    kept = {
        group.name: np.sort(generator.choice(group.channels, max(1, group.channels // 2), replace=False))
        for group in traced.graph.prunable
    }
    with torch.no_grad():
        wanted = slim(model, traced.channel_map, kept).eval()(IMAGES)
        network = slim(model, traced.channel_map, kept).eval()
        fold(network, norms)
        given = network(IMAGES)

    assert float((given - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())
    assert len(norms_of(network)) == left


def test_the_network_that_it_was_sliced_from_stays_as_it_was() -> None:
    model = lively("cifar_resnet20")
    traced = trace(model, (3, 32, 32))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fold(slim(model, traced.channel_map, {}), foldable(model, traced, IMAGES))

    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_nothing_is_folded_where_a_layers_outputs_are_read_without_the_norm_too() -> None:
    torch.manual_seed(0)
    model = ReadTwice().eval()
    model.norm.running_mean = torch.randn(8)

    assert foldable(model, trace(model, (3, 64, 64)), IMAGES) == {}


def test_nothing_is_folded_where_the_forward_method_reads_what_a_norm_has() -> None:
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 8, 3)
            self.norm = nn.BatchNorm2d(8)
            self.head = nn.Linear(8, 4)

        def forward(self, images: Tensor) -> Tensor:
            maps = self.norm(self.layer(images)).relu().mean(dim=(2, 3)) * self.norm.momentum
            logits: Tensor = self.head(maps)
            return logits

    model = Reads().eval()

    assert foldable(model, trace(model, (3, 64, 64)), IMAGES) == {}


def test_dropped_branches_are_passed_over() -> None:
    model = lively("cifar_resnet20")
    traced = trace(model, (3, 32, 32))
    dropped = next(group for group in traced.graph.prunable if group.droppable)
    kept = {name: np.array([], dtype=np.int64) for name in (dropped.name, *dropped.drops)}
    with torch.no_grad():
        wanted = slim(model, traced.channel_map, kept).eval()(IMAGES)
        network = slim(model, traced.channel_map, kept).eval()
        fold(network, foldable(model, traced, IMAGES))
        given = network(IMAGES)

    assert float((given - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())
