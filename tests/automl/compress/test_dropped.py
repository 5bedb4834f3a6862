from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl.compress.batch_norm import recalibrate
from automl.compress.dropped import Constant, Placeholder, fold_norms
from automl.compress.importance import most_important, scores
from automl.compress.masking import masked_forward
from automl.compress.probe import trace_prunable
from automl.compress.surgery import KeptChannels, slim
from automl.core.policy import CompressionPolicy, checked_policy
from automl.costs.model import STRUCTURE_BYTES_PER_LAYER, AnalyticCostModel
from automl.export.weights_file import WeightsInfo, read_weights, write_weights
from automl.tracing.channel_map import TracedModel
from automl.tracing.trace import trace
from tests.automl.compress.test_surgery import counted_macs
from tests.automl.tracing.test_branches import Bottleneck
from tests.families import lively


def kept_without(model: nn.Module, traced: TracedModel, dropped: list[str]) -> tuple[CompressionPolicy, KeptChannels]:
    """Half of every group, and nothing of the dropped ones."""
    dead = {name for group in traced.graph.groups if group.name in dropped for name in (group.name, *group.drops)}
    channels = {g.name: 0 if g.name in dead else max(1, g.channels // 2) for g in traced.graph.prunable}
    policy = checked_policy(traced.graph, CompressionPolicy(channels))
    return policy, most_important(traced, policy, scores(model, traced, "l1"))


@pytest.mark.parametrize("share", [2, 1])
@pytest.mark.parametrize(
    "spec", ["cifar_resnet20", "torchvision:resnet50", "torchvision:mobilenet_v2", "torchvision:mobilenet_v3_small"]
)
def test_a_network_without_branches_equals_the_masked_one_and_costs_what_it_counts(spec: str, share: int) -> None:
    model = lively(spec)
    traced = trace_prunable(model, (3, 32, 32))
    dropped = [group.name for group in traced.graph.groups if group.droppable][::share]
    assert len(dropped) >= 3
    policy, kept = kept_without(model, traced, dropped)
    smaller = slim(model, traced.channel_map, kept)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, actual = masked_forward(model, traced, kept, images), smaller(images)
    assert float((actual - expected).abs().max() / expected.abs().max()) < 1e-4
    cost = AnalyticCostModel(traced.graph)(policy)
    assert cost.macs == counted_macs(smaller, (3, 32, 32))
    assert cost.params == sum(parameter.numel() for parameter in smaller.parameters())
    stored = sum(tensor.numel() * tensor.element_size() for tensor in (*smaller.parameters(), *smaller.buffers()))
    assert cost.size_bytes == STRUCTURE_BYTES_PER_LAYER * len(traced.graph.layers) + stored


def bottleneck() -> tuple[nn.Module, nn.Module, TracedModel, KeptChannels]:
    """The dense network, that without its branch, and how one becomes the other."""
    torch.manual_seed(0)
    model = Bottleneck().eval()
    traced = trace(model, (3, 4, 4))
    kept: KeptChannels = {name: np.arange(0) for name in ("grouped", "first", "squeeze")}
    return model, slim(model, traced.channel_map, kept, own_memory=True), traced, kept


def test_what_ends_a_branch_gives_its_bias_and_all_before_it_is_gone() -> None:
    model, smaller, traced, kept = bottleneck()
    images = torch.randn(2, 3, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(smaller(images), masked_forward(model, traced, kept, images))
    names = {name for name, _ in smaller.named_parameters()}
    assert names == {"stem.weight", "stem.bias", "last.bias", "fc.weight", "fc.bias"}
    last = smaller.get_submodule("last")
    assert isinstance(last, Constant)
    assert isinstance(last.bias, nn.Parameter)
    assert last.bias is not model.get_parameter("last.bias")


def test_a_network_without_a_branch_trains() -> None:
    _, smaller, _, _ = bottleneck()
    F.cross_entropy(smaller.train()(torch.randn(4, 3, 4, 4)), torch.tensor([0, 1, 2, 0])).backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in smaller.parameters())


def test_weights_of_a_network_without_branches_load_back(tmp_path: Path) -> None:
    model = lively("cifar_resnet20")
    traced = trace(model, (3, 32, 32))
    _, kept = kept_without(model, traced, ["layer1.1.conv1", "layer3.0.conv1"])
    first = {group: np.arange(len(channels)) for group, channels in kept.items()}
    written = slim(model, traced.channel_map, kept).eval()
    recalibrate(written, [torch.randn(8, 3, 32, 32)])
    write_weights(tmp_path / "model.safetensors", written, WeightsInfo("cifar_resnet20", "digest"))
    read = slim(model, traced.channel_map, first, own_memory=True).eval()
    read_weights(tmp_path / "model.safetensors", read, policy_digest="digest")
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(read(images), written(images))
        assert bool(read(images).isfinite().all())


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(4, 6, 3, stride=(2, 1), padding=1), (2, 4, 7, 8)),
        (nn.Conv2d(4, 6, 5, stride=2, padding=2), (2, 4, 8, 5)),
        (nn.Conv1d(4, 6, 1, stride=3), (2, 4, 10)),
        (nn.Linear(4, 6), (2, 5, 4)),
    ],
)
def test_stand_ins_make_maps_of_the_size_that_the_layer_makes(layer: nn.Module, shape: tuple[int, ...]) -> None:
    stride = layer.stride if isinstance(layer, nn.Conv1d | nn.Conv2d) else ()
    inputs = torch.randn(shape)
    made = layer(inputs)
    assert Constant(6, stride)(inputs).shape == made.shape
    channels = made.ndim - 1 if isinstance(layer, nn.Linear) else 1
    assert Placeholder(stride)(inputs).shape == made.narrow(channels, 0, 1).shape


def test_a_constant_may_be_added_to_in_place() -> None:
    constant = Constant(2, (1, 1))
    constant.bias = nn.Parameter(torch.tensor([1.0, 2.0]))
    for inputs in (torch.zeros(2, 1, 3, 3), torch.zeros(1, 1, 1, 1)):
        with torch.no_grad():
            maps = constant(inputs)
            maps += 1
        assert maps.unique().tolist() == [2, 3]
    assert constant.bias.tolist() == [1, 2]


def test_a_norm_behind_a_constant_is_a_constant() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.end = Constant(2, (1, 1))
            self.norm, self.other = nn.BatchNorm2d(2), nn.BatchNorm2d(2)

        def forward(self, x: Tensor) -> Tensor:
            maps: Tensor = self.norm(self.end(x)) + self.other(x)
            return maps

    model = Net().eval()
    nn.init.normal_(model.norm.bias)
    images = torch.randn(2, 2, 3, 3)
    with torch.no_grad():
        expected = model(images)
        fold_norms(model, images[:1])
        assert isinstance(model.norm, Constant)
        assert isinstance(model.other, nn.BatchNorm2d)
        torch.testing.assert_close(model(images), expected)
