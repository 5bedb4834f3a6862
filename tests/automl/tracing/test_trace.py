import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl.core.errors import TraceError
from automl.core.policy import dense_policy
from automl.costs.model import AnalyticCostModel
from automl.tracing.trace import trace
from tests.families import PRUNE_FULLY, lively, native_size


class Residual(nn.Module):
    """Functional activation, residual sum, depthwise convolution, squeeze-excite, flatten into a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.bn = nn.BatchNorm2d(16)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.squeeze = nn.Conv2d(16, 4, 1)
        self.excite = nn.Conv2d(4, 16, 1)
        self.project = nn.Conv2d(16, 16, 1)
        self.fc = nn.Linear(16 * 4 * 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.stem(x)), inplace=True)
        y = self.depthwise(x)
        y = y * torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        x = x + self.project(y)
        logits: Tensor = self.fc(F.max_pool2d(x, 2).flatten(1))
        return logits


def test_residual_sums_and_depthwise_share_a_group_and_the_gate_has_its_own() -> None:
    graph = trace(Residual(), (3, 8, 8)).graph
    groups = {group.name: group for group in graph.groups}
    assert set(groups) == {"stem", "squeeze", "fc"}
    # The residual sum ties stem and project; the depthwise layer and the gate multiply stem's channels.
    assert groups["stem"].producers == ("stem", "depthwise", "excite", "project")
    assert groups["stem"].consumers == ("depthwise", "squeeze", "project", "fc")
    assert groups["squeeze"].producers == ("squeeze",)
    assert groups["squeeze"].channels == 4
    assert groups["fc"].reason == "class logits"


def test_a_flattened_map_reads_each_channel_once_per_position() -> None:
    graph = trace(Residual(), (3, 8, 8)).graph
    fc = next(layer for layer in graph.layers if layer.name == "fc")
    assert fc.inputs.terms == (("stem", 16),)
    assert fc.inputs.fixed == 0


def test_the_costs_of_a_hand_counted_network() -> None:
    graph = trace(Residual(), (3, 8, 8)).graph
    cost = AnalyticCostModel(graph)(dense_policy(graph))
    # stem 64 * 16 * 27; depthwise 64 * 16 * 9; gate 16 * 4 twice; project 64 * 16 * 16; fc 256 * 5.
    assert cost.macs == 64 * 16 * 27 + 64 * 16 * 9 + 64 + 64 + 64 * 16 * 16 + 1280
    assert cost.params == (432 + 16) + 32 + (144 + 16) + (64 + 4) + (64 + 16) + (256 + 16) + (1280 + 5)


class Concat(nn.Module):
    """Two branches concatenated; one of them is also added to a third layer."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, 8, 1)
        self.right = nn.Conv2d(3, 12, 1)
        self.both = nn.Conv2d(20, 8, 1)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        left = self.left(x)
        y = self.both(torch.cat([left, self.right(x)], dim=1)) + left
        logits: Tensor = self.fc(y.amax((2, 3)))
        return logits


def test_a_concatenation_reads_several_groups() -> None:
    graph = trace(Concat(), (3, 4, 4)).graph
    both = next(layer for layer in graph.layers if layer.name == "both")
    assert both.inputs.terms == (("left", 1), ("right", 1))
    left = next(group for group in graph.groups if group.name == "left")
    assert left.producers == ("left", "both")


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 1)
        self.grouped = nn.Conv2d(16, 32, 3, padding=1, groups=4)
        self.fc = nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.grouped(self.first(x)).mean((2, 3)))
        return logits


def test_a_grouped_convolution_loses_the_same_positions_in_every_group() -> None:
    graph = trace(Grouped(), (3, 4, 4)).graph
    groups = {group.name: group.channels for group in graph.prunable}
    assert groups == {"first": 4, "grouped": 8}  # positions within one of the 4 convolution groups
    grouped = next(layer for layer in graph.layers if layer.name == "grouped")
    assert (grouped.inputs.terms, grouped.outputs.terms) == ((("first", 4),), (("grouped", 4),))
    assert grouped.filter_inputs.terms == (("first", 1),)


class Shared(nn.Module):
    """One convolution runs three times, as RetinaNet heads do."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.shared = nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _ in range(3):
            x = self.shared(x).relu()
        logits: Tensor = self.fc(x.mean((-2, -1)))
        return logits


def test_a_shared_module_ties_what_it_reads_to_what_it_makes_and_counts_each_run() -> None:
    graph = trace(Shared(), (3, 4, 4)).graph
    assert [group.name for group in graph.prunable] == ["stem"]
    shared = next(layer for layer in graph.layers if layer.name == "shared")
    assert shared.macs({"stem": 8}) == 3 * 16 * 8 * 72


class Unprunable(nn.Module):
    """A slice, a group norm and a softmax over channels: each must be named."""

    def __init__(self) -> None:
        super().__init__()
        self.sliced = nn.Conv2d(3, 8, 1)
        self.normed = nn.Conv2d(4, 8, 1)
        self.norm = nn.GroupNorm(2, 8)
        self.mixed = nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.normed(self.sliced(x)[:, :4]))
        logits: Tensor = self.fc(self.mixed(x).mean((2, 3)).softmax(dim=1))
        return logits


def test_what_cannot_be_pruned_is_named_with_the_reason() -> None:
    reasons = {group.name: group.reason or "" for group in trace(Unprunable(), (3, 4, 4)).graph.groups}
    assert "slice" in reasons["sliced"]
    assert "native_group_norm" in reasons["normed"]
    assert "softmax" in reasons["mixed"]
    assert reasons["fc"] == "class logits"


class Auxiliary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)
        self.head = nn.Linear(8, 3)
        self.auxiliary = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv(x).mean((2, 3))
        logits: Tensor = self.head(features)
        return logits + self.auxiliary(features) if self.training else logits


def test_a_layer_that_does_not_run_is_named() -> None:
    assert trace(Auxiliary(), (3, 4, 4)).graph.unfollowed == ("`auxiliary` did not run in eval mode and stays whole",)


class ByValue(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits if logits.sum() > 0 else -logits


def test_a_forward_that_depends_on_values_is_refused() -> None:
    with pytest.raises(TraceError, match="must not depend on the values"):
        trace(ByValue(), (3, 4, 4))


def test_a_forward_that_fails_names_the_module() -> None:
    with pytest.raises(TraceError, match="`stem`"):
        trace(Residual(), (1, 8, 8))


def test_a_forward_that_returns_something_else_is_refused() -> None:
    with pytest.raises(TraceError, match="class logits of shape"):
        trace(nn.Conv2d(3, 4, 1), (3, 4, 4))


def test_the_model_comes_back_unchanged() -> None:
    model = Residual().train()
    model.fc.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trace(model, (3, 8, 8))
    assert model.training
    assert not model.fc.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


# conv + linear MACs at 224 px and parameters, as torchvision's model cards and the papers give them.
PUBLISHED = {
    "timm:mobilenetv1_100": (4_231_976, 568.74),
    "torchvision:mobilenet_v2": (3_504_872, 300.77),
    "torchvision:mobilenet_v3_large": (5_483_032, 216.59),
    "torchvision:mobilenet_v3_small": (2_542_856, 56.51),
    "timm:efficientnet_lite0": (4_652_008, 385.19),
    "torchvision:resnet18": (11_689_512, 1814.07),
    "torchvision:resnet34": (21_797_672, 3663.76),
    "torchvision:resnet50": (25_557_032, 4089.18),
    "timm:resnet50d": (25_576_264, 4328.82),
    "torchvision:vgg16": (138_357_544, 15470.26),
}


@pytest.mark.slow
@pytest.mark.parametrize("spec", PUBLISHED)
def test_published_parameters_and_macs_to_the_unit(spec: str) -> None:
    graph = trace(lively(spec), (3, 224, 224)).graph
    cost = AnalyticCostModel(graph)(dense_policy(graph))
    params, million_macs = PUBLISHED[spec]
    assert cost.params == params
    assert round(cost.macs / 1e6, 2) == pytest.approx(million_macs, abs=0.0051)


@pytest.mark.slow
@pytest.mark.parametrize("spec", PRUNE_FULLY)
def test_only_the_logits_of_these_families_stay_whole(spec: str) -> None:
    graph = trace(lively(spec), (3, native_size(spec), native_size(spec))).graph
    assert [group.reason for group in graph.groups if not group.prunable] == ["class logits"]
    assert not graph.unfollowed


class Computed(nn.Module):
    """A normalised weight, a transposed convolution, a learned slope per channel and an attention product."""

    def __init__(self) -> None:
        super().__init__()
        self.free = nn.Conv2d(3, 8, 1)
        self.slope = nn.PReLU(8)
        self.before = nn.Conv2d(8, 8, 1)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 4, 1, bias=False))
        self.up = nn.ConvTranspose2d(4, 6, 2, stride=2, bias=False)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(self.normed(self.before(self.slope(self.free(x)))))
        tokens = x.flatten(2)
        mixed = tokens @ (tokens.transpose(1, 2) @ tokens)
        logits: Tensor = self.fc(mixed.mean(-1))
        return logits


def test_layers_that_stay_whole_are_counted_and_named() -> None:
    graph = trace(Computed(), (3, 4, 4)).graph
    reasons = {group.name: group.reason for group in graph.groups}
    assert reasons["free"] is None
    assert "computes its weight" in str(reasons["before"])
    assert "is transposed" in str(reasons["up"])
    macs = {layer.name: layer.macs({"free": 8}) for layer in graph.layers}
    # 16 positions of 1x1; the transposed kernel is placed at each of the 16 input positions.
    assert macs == {"free": 384, "before": 1024, "normed": 512, "up": 16 * 4 * 6 * 4, "fc": 18}
    assert any("`bmm`" in note and "not counted" in note for note in graph.unfollowed)


def test_a_slope_per_channel_follows_its_channel() -> None:
    traced = trace(Computed(), (3, 4, 4))
    slope = next(tensor for tensor in traced.graph.tensors if tensor.name == "slope.weight")
    assert slope.extents[0].terms == (("free", 1),)
