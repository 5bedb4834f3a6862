from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from automl.compress import reconstruction
from automl.compress.batch_norm import recalibrate
from automl.compress.factor import RIDGE
from automl.compress.importance import Scores, most_important, scores
from automl.compress.reconstruction import Recovery
from automl.compress.statistics import input_statistics
from automl.compress.surgery import slim
from automl.core.policy import CompressionPolicy
from automl.tracing.channel_map import TracedModel
from automl.tracing.trace import trace
from tests.automl.tracing.test_trace import Concat, Grouped, Residual, Shared

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randn(64, 3, 8, 8, generator=GENERATOR)


def recovery(
    model: nn.Module, traced: TracedModel, order: Scores, images: Tensor = IMAGES, ridge: float = RIDGE
) -> Recovery:
    return Recovery(model, traced, order, input_statistics(model, traced, [images]), ridge=ridge)


class Twins(nn.Module):
    """Every channel of the first layer stands twice, and a k x k convolution and a linear layer read them."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 1)
        self.second = nn.Conv2d(16, 6, kernel, padding=kernel // 2)
        self.fc = nn.Linear(6, 4)
        with torch.no_grad():
            for tensor in self.first.parameters():
                tensor[8:] = tensor[:8]

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.second(torch.relu(self.first(x))).mean((2, 3)))
        return logits


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_channel_that_another_one_repeats_is_not_missed(kernel: int) -> None:
    torch.manual_seed(0)
    model = Twins(kernel).eval()
    traced = trace(model, (3, 8, 8))
    order = {"first": np.arange(16, 0, -1.0), "second": np.ones(6)}
    kept = most_important(traced, CompressionPolicy({"first": 8}), order)
    plain, recovered = (slim(model, traced.channel_map, kept) for _ in range(2))
    recovery(model, traced, order).apply(recovered, kept)
    with torch.no_grad():
        expected = model(IMAGES)
        assert float((plain(IMAGES) - expected).abs().max()) > 0.05
        # The ridge leaves a thousandth.
        torch.testing.assert_close(recovered(IMAGES), expected, atol=5e-3, rtol=0)


class Varied(nn.Module):
    """A 3x3 convolution, a depthwise one, 3x3 with stride and padding, 1x1 and, after a flatten, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 12, 3, padding=1)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.strided = nn.Conv2d(12, 10, 3, stride=2, padding=1)
        self.pointwise = nn.Conv2d(10, 8, 1)
        self.fc = nn.Linear(8 * 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(torch.tanh(self.first(x)))
        x = self.pointwise(torch.tanh(self.strided(torch.relu(x))))
        logits: Tensor = self.fc(nn.functional.avg_pool2d(torch.relu(x), 2).flatten(1))
        return logits


def rows_read(model: nn.Module, name: str, images: Tensor) -> Tensor:
    """What the layer multiplies with its weights, one row per position: `(rows, entries)` in float64."""
    layer, seen = model.get_submodule(name), list[Tensor]()
    hook = layer.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].double()))
    with torch.no_grad():
        model(images)
    hook.remove()
    if isinstance(layer, nn.Conv2d):
        kernel, padding, stride = layer.kernel_size, layer.padding, layer.stride
        assert isinstance(padding, tuple)
        seen = [nn.functional.unfold(x, kernel, padding=padding, stride=stride).transpose(1, 2) for x in seen]
    return torch.cat([x.flatten(0, -2) for x in seen])


def fitted(rows: Tensor, dense: nn.Conv2d | nn.Linear, keeps: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Weights and intercept by `torch.linalg.lstsq` on the rows themselves; the ridge as further rows."""
    weight, bias = dense.weight.detach().double().flatten(1), cast(Tensor, dense.bias).detach().double()
    added = len(rows) * ridge * float(rows.var(dim=0, correction=0).mean())
    design = torch.cat([rows[:, keeps], torch.ones(len(rows), 1)], dim=1)
    anchor = added**0.5 * torch.eye(int(keeps.sum()), design.shape[1], dtype=torch.float64)
    target = torch.cat([rows @ weight.T + bias, anchor[:, :-1] @ weight[:, keeps].T])
    solution = torch.linalg.lstsq(torch.cat([design, anchor]), target, driver="gelsd").solution
    return solution[:-1].T, solution[-1]


@pytest.mark.parametrize("ridge", [0.0, 1e-3, 0.1])
def test_recovered_weights_equal_lstsq_with_an_intercept_on_the_same_rows(ridge: float) -> None:
    torch.manual_seed(0)
    model = Varied().eval()
    images = torch.randn(400, 3, 8, 8)
    traced = trace(model, (3, 8, 8))
    order = scores(model, traced, "l1")
    kept = most_important(traced, CompressionPolicy({"first": 7, "strided": 6, "pointwise": 5}), order)
    smaller = slim(model, traced.channel_map, kept)
    recovery(model, traced, order, images, ridge=ridge).apply(smaller, kept)
    for name, group in (("strided", "first"), ("pointwise", "strided"), ("fc", "pointwise")):
        dense = cast(nn.Conv2d, model.get_submodule(name))
        channels = torch.zeros(traced.channel_map.channels[group], dtype=torch.bool)
        channels[torch.from_numpy(kept[group])] = True
        keeps = channels.repeat_interleave(dense.weight[0].numel() // len(channels))
        weight, bias = fitted(rows_read(model, name, images), dense, keeps, ridge)
        outputs = torch.from_numpy(kept.get(name, np.arange(len(dense.weight))))
        found = smaller.get_parameter(f"{name}.weight").detach().double().flatten(1)
        assert float((found - weight[outputs]).norm() / weight[outputs].norm()) < 1e-6
        intercept = smaller.get_parameter(f"{name}.bias").detach().double()
        assert float((intercept - bias[outputs]).norm() / bias[outputs].norm()) < 1e-6


@pytest.mark.parametrize("kind", [Residual, Concat, Shared, Grouped])
def test_at_full_width_nothing_changes(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = kind().eval()
    traced = trace(model, (3, 8, 8))
    for name, layer in recovery(model, traced, scores(model, traced, "l1"))._layers.items():
        weight = model.get_parameter(f"{name}.weight").detach()
        found = layer.solve(np.arange(weight.shape[1]))
        torch.testing.assert_close(found.weight, weight, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(found.shift, torch.zeros_like(found.shift), atol=1e-6, rtol=0)
        torch.testing.assert_close(found.ratio, torch.ones_like(found.ratio), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [Residual, Concat, Shared, Grouped])
def test_recovery_comes_nearer_to_the_dense_network_for_every_coupling(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = kind().eval()
    traced = trace(model, (3, 8, 8))
    order = scores(model, traced, "l1")
    policy = CompressionPolicy({group.name: max(1, group.channels * 3 // 4) for group in traced.graph.prunable})
    kept = most_important(traced, policy, order)
    plain, recovered = (slim(model, traced.channel_map, kept) for _ in range(2))
    recovery(model, traced, order).apply(recovered, kept)
    fresh = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(fresh)
        errors = [float((each(fresh) - expected).square().mean()) for each in (plain, recovered)]
    assert errors[1] < errors[0]


def test_neither_the_dense_network_nor_what_it_shares_is_written() -> None:
    model = Concat().eval()
    traced = trace(model, (3, 8, 8))
    order = scores(model, traced, "l1")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    kept = most_important(traced, CompressionPolicy({"right": 6}), order)
    smaller = slim(model, traced.channel_map, kept)
    recovery(model, traced, order).apply(smaller, kept)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert smaller.get_parameter("left.weight") is model.left.weight


class Normed(nn.Module):
    """Batch norms behind layers with and without a bias."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 12, 1)
        self.second = nn.Conv2d(12, 6, 3, padding=1, bias=bias)
        self.norm = nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(torch.relu(self.norm(self.second(torch.tanh(self.first(x))))).mean((2, 3)))
        return logits


@pytest.mark.parametrize("bias", [True, False])
def test_batch_norm_corrected_in_closed_form_is_batch_norm_measured_anew(bias: bool) -> None:
    torch.manual_seed(0)
    model = Normed(bias).eval()
    recalibrate(model, [IMAGES])
    traced = trace(model, (3, 8, 8))
    order = scores(model, traced, "l1")
    kept = most_important(traced, CompressionPolicy({"first": 5, "second": 4}), order)
    corrected = slim(model, traced.channel_map, kept)
    recovery(model, traced, order).apply(corrected, kept)
    measured = slim(corrected, traced.channel_map, {})
    recalibrate(measured, [IMAGES])
    # Only `second` has lost inputs, so that what it reads is what the statistics saw.
    for buffer in ("norm.running_mean", "norm.running_var"):
        found, before = corrected.get_buffer(buffer), model.get_buffer(buffer)[torch.from_numpy(kept["second"])]
        torch.testing.assert_close(found, measured.get_buffer(buffer), atol=1e-5, rtol=1e-4)
        assert not torch.allclose(found, before, atol=1e-3) or (bias and buffer == "norm.running_mean")


class Reader(nn.Module):
    """Stands for a layer without inputs."""

    def __init__(self, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.bias = bias


@pytest.mark.parametrize("bias", [True, False])
def test_without_inputs_the_mean_output_goes_into_the_bias_or_the_batch_norm(bias: bool) -> None:
    torch.manual_seed(0)
    model = Normed(bias).eval()
    recalibrate(model, [IMAGES])
    traced = trace(model, (3, 8, 8))
    smaller = slim(model, traced.channel_map, {})
    smaller.second = Reader(None if model.second.bias is None else nn.Parameter(model.second.bias.detach().clone()))
    recovery(model, traced, scores(model, traced, "l1")).apply(smaller, {"first": np.arange(0)})
    with torch.no_grad():
        mean_output = model.second(torch.tanh(model.first(IMAGES))).mean((0, 2, 3))
    constant = smaller.get_parameter("second.bias") if bias else torch.zeros(6)
    expected = (mean_output - model.get_buffer("norm.running_mean")) if bias else torch.zeros(6)
    # What batch norm subtracts leaves the dense mean's place.
    torch.testing.assert_close(constant - smaller.get_buffer("norm.running_mean"), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(smaller.get_buffer("norm.running_var"), model.get_buffer("norm.running_var"))


def test_a_layer_that_cannot_shift_its_outputs_is_fitted_without_an_intercept() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1, bias=False), nn.Flatten()).eval()
    traced = trace(model, (3, 8, 8))
    order = scores(model, traced, "l1")
    kept = most_important(traced, CompressionPolicy({"0": 5}), order)
    smaller = slim(model, traced.channel_map, kept)
    recovery(model, traced, order, ridge=0.0).apply(smaller, kept)
    rows = rows_read(model, "2", IMAGES)
    targets = rows @ model.get_parameter("2.weight").detach().double().flatten(1).T
    expected = torch.linalg.lstsq(rows[:, torch.from_numpy(kept["0"])], targets).solution.T
    found = smaller.get_parameter("2.weight").detach().double().flatten(1)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", [Residual, Concat, Varied])
def test_the_curve_is_the_variance_that_the_best_fit_leaves(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = kind().eval()
    traced = trace(model, (3, 8, 8))
    images = torch.randn(600, 3, 8, 8)
    order = scores(model, traced, "l1")
    solved = recovery(model, traced, order, images, ridge=0.0)
    for group, channels in traced.channel_map.channels.items():
        curve, units = solved.curve(group), traced.channel_map.group_units(group)
        assert len(curve) == channels + 1
        assert (np.diff(curve) <= 1e-9).all()
        width = channels // 2
        keeps = np.ones(traced.channel_map.count + 1, dtype=bool)
        keeps[units] = False
        keeps[units.start + np.argsort(-order[group], kind="stable")[:width]] = True
        expected = 0.0
        for name in traced.graph.groups[[g.name for g in traced.graph.groups].index(group)].consumers:
            read_units = traced.channel_map.units.get((f"{name}.weight", 1))
            if read_units is None or not isinstance(layer := model.get_submodule(name), nn.Conv2d | nn.Linear):
                continue
            rows = rows_read(model, name, images)
            rows = rows - rows.mean(dim=0)
            targets = rows @ layer.weight.detach().double().flatten(1).T
            entries = torch.from_numpy(keeps[read_units]).repeat_interleave(rows.shape[1] // len(read_units))
            left = targets - rows[:, entries] @ torch.linalg.lstsq(rows[:, entries], targets).solution
            expected += float(left.square().sum() / targets.square().sum())
        assert curve[width] == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_too_few_images_are_damped_and_said() -> None:
    torch.manual_seed(0)
    model = Varied().eval()
    traced = trace(model, (3, 8, 8))
    order = scores(model, traced, "l1")
    few = recovery(model, traced, order, IMAGES[:16])
    (note,) = few.notes
    assert "too few calibration images" in note
    assert note.endswith("fc.")
    kept = most_important(traced, CompressionPolicy({"pointwise": 4}), order)
    plain, recovered = (slim(model, traced.channel_map, kept) for _ in range(2))
    few.apply(recovered, kept)
    fresh = torch.randn(200, 3, 8, 8)
    with torch.no_grad():
        errors = [float((each(fresh) - model(fresh)).square().mean()) for each in (plain, recovered)]
    assert errors[1] < errors[0]


def test_inputs_that_repeat_are_damped_and_said_where_no_ridge_is_asked() -> None:
    torch.manual_seed(0)
    model = Twins(1).eval()
    traced = trace(model, (3, 8, 8))
    order = {"first": np.arange(16, 0, -1.0), "second": np.ones(6)}
    assert not recovery(model, traced, order).notes
    bare = recovery(model, traced, order, ridge=0.0)
    (note,) = bare.notes
    assert "never change or repeat" in note
    kept = most_important(traced, CompressionPolicy({"first": 8}), order)
    smaller = slim(model, traced.channel_map, kept)
    bare.apply(smaller, kept)
    with torch.no_grad():
        torch.testing.assert_close(smaller(IMAGES), model(IMAGES), atol=1e-4, rtol=0)


def test_weights_that_have_been_forgotten_are_solved_again(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = Varied().eval()
    traced = trace(model, (3, 8, 8))
    order = scores(model, traced, "l1")
    kept = most_important(traced, CompressionPolicy({"first": 7, "strided": 6}), order)
    first, second, third = (slim(model, traced.channel_map, kept) for _ in range(3))
    remembering = recovery(model, traced, order)
    remembering.apply(first, kept)
    remembering.apply(second, kept)
    assert len(remembering._known) == 2
    monkeypatch.setattr(reconstruction, "MOST_BYTES", 1)
    forgetful = recovery(model, traced, order)
    forgetful.apply(third, kept)
    assert len(forgetful._known) == 1
    assert torch.equal(first(IMAGES), second(IMAGES))
    assert torch.equal(first(IMAGES), third(IMAGES))
