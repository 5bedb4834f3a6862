import numpy as np
import pytest
import torch

from automl.compress.calibration import round_singly
from automl.compress.folding import foldable
from automl.compress.importance import scores
from automl.compress.places import dense_places, with_quantizable
from automl.compress.probe import trace_prunable
from automl.compress.quantized import QuantizedNetwork
from automl.compress.reconstruction import Recovery
from automl.compress.sequential import SequentialRecovery
from automl.compress.statistics import input_statistics
from automl.core.bits import BitChoices, first_and_last
from automl.core.knob import Knob
from automl.core.policy import CompressionPolicy, dense_policy
from automl.evaluate.dense import DenseNetwork
from automl.evaluate.measure import answers, compare
from automl.evaluate.sensitivity import Probe, _anchors, _filled, measured_table
from automl.tracing.trace import trace
from search_spaces.bit_widths import bit_knobs
from tests.families import lively

CPU = torch.device("cpu")
IMAGES = torch.randn(64, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def dense() -> DenseNetwork:
    model = lively("cifar_resnet20")
    traced = trace(model, (3, 16, 16))
    order = scores(model, traced, "l2")
    recovery = Recovery(model, traced, order, input_statistics(model, traced, [IMAGES]))
    sequential = SequentialRecovery(model, traced, IMAGES)
    norms = foldable(model, traced, IMAGES)
    places = dense_places(model, traced, norms, IMAGES)
    return DenseNetwork(model, traced, order, recovery, sequential, norms, places, IMAGES, CPU)


def test_a_probe_measures_what_a_whole_forward_pass_measures(dense: DenseNetwork) -> None:
    probe = Probe(dense, [IMAGES[:32], IMAGES[32:]])
    batches = [(IMAGES, torch.zeros(64, dtype=torch.int64))]
    reference = answers(dense.model, batches, CPU)
    for group in (dense.traced.graph.prunable[1], dense.traced.graph.prunable[-1]):
        policy = CompressionPolicy({group.name: 4})
        expected = compare(answers(dense.slimmed(policy), batches, CPU), reference).divergence
        assert probe.of_widths(policy) == pytest.approx(expected, rel=1e-4)


def test_the_whole_network_loses_nothing(dense: DenseNetwork) -> None:
    assert Probe(dense, [IMAGES]).of_widths(dense_policy(dense.traced.graph)) == pytest.approx(0.0, abs=1e-9)


def test_the_table_holds_what_was_measured_and_falls_with_the_width(dense: DenseNetwork) -> None:
    knobs = [Knob(g.name, "channels", tuple(range(4, g.channels + 1, 4))) for g in dense.traced.graph.prunable]
    asked: dict[CompressionPolicy, float] = {}

    class Counting(Probe):
        def of_widths(self, policy: CompressionPolicy) -> float:
            asked[policy] = sum(1 - policy.channels[g.name] / g.channels for g in dense.traced.graph.prunable)
            return asked[policy]

    heard: list[str] = []
    table = measured_table(dense, knobs, Counting(dense, [IMAGES]), heard.append)
    assert heard == [knob.target for knob in knobs]
    for policy, loss in asked.items():
        narrowed = [g for g in dense.traced.graph.prunable if policy.channels[g.name] < g.channels]
        assert len(narrowed) == 1
        assert table.loss(policy.channels) == pytest.approx(loss)
    for losses in table.losses:
        assert list(losses) == sorted(losses, reverse=True)
        assert losses[-1] == 0


def test_anchors_are_the_ends_and_the_keep_ratios_between() -> None:
    assert _anchors(Knob("a", "channels", tuple(range(8, 129, 8)))) == [8, 16, 32, 64, 96]
    assert _anchors(Knob("a", "channels", (0, 4, 8, 12, 16))) == [0, 4, 8, 12]
    assert _anchors(Knob("a", "channels", (16,))) == []


def test_between_two_measured_widths_the_loss_follows_the_curve() -> None:
    knob = Knob("a", "channels", (1, 2, 3, 4))
    # Errors 1, 1/4, 1/16: the loss at 2 lies half way in the logarithm between those measured at 1 and 3.
    losses = _filled(knob, {1: 0.4, 3: 0.1}, np.array([2.0, 1.0, 0.25, 0.0625, 0.0]))
    assert losses == pytest.approx((0.4, 0.2, 0.1, 0.0))


def test_beyond_the_widest_measured_width_the_loss_falls_as_the_error() -> None:
    knob = Knob("a", "channels", (1, 2, 3, 4))
    losses = _filled(knob, {1: 0.4, 2: 0.2}, np.array([2.0, 1.0, 0.5, 0.05, 0.0]))
    assert losses == pytest.approx((0.4, 0.2, 0.02, 0.0))


def test_a_measurement_that_grows_with_the_width_is_smoothed() -> None:
    losses = _filled(Knob("a", "channels", (1, 2, 3)), {1: 0.1, 2: 0.3}, np.array([2.0, 1.0, 0.5, 0.0]))
    assert losses == pytest.approx((0.3, 0.3, 0.0))


def test_a_group_of_one_width_loses_nothing() -> None:
    assert _filled(Knob("a", "channels", (8,)), {}, np.zeros(9)) == (0.0,)


@pytest.fixture(scope="module")
def bits(dense: DenseNetwork) -> tuple[Knob, ...]:
    graph = with_quantizable(dense.model, dense.traced).graph
    return bit_knobs(graph, BitChoices.parse("w2,4,8a4,8"), first_and_last(8))


def test_fewer_bits_lose_more_and_the_ends_are_not_asked(dense: DenseNetwork, bits: tuple[Knob, ...]) -> None:
    table = measured_table(dense, bits, Probe(dense, [IMAGES]), lambda name: None)
    for knob, losses in zip(bits, table.losses, strict=True):
        assert list(losses) == sorted(losses, reverse=True)
        assert losses == (0.0,) if len(knob.choices) == 1 else losses[0] > 2 * losses[-1] > 0
    ends = [knob.target for knob in bits if len(knob.choices) == 1]
    assert ends == ["conv1", "fc", "conv1", "fc"]


def test_rounding_one_layer_changes_what_it_changes_in_a_whole_pass(
    dense: DenseNetwork, bits: tuple[Knob, ...]
) -> None:
    probe = Probe(dense, [IMAGES[:32], IMAGES[32:]])
    probe.round(bits)
    whole = dense.slimmed(dense_policy(dense.traced.graph))
    singles = round_singly(whole, dense.places, [2], [4], IMAGES[:32])
    batches = [(IMAGES, torch.zeros(64, dtype=torch.int64))]
    reference = answers(whole, batches, CPU)

    weight, bias = singles.weights["layer3.1.conv2", 2]
    layer = whole.get_submodule("layer3.1.conv2")
    layer._parameters.update(weight=torch.nn.Parameter(weight), bias=torch.nn.Parameter(bias))
    expected = compare(answers(whole, batches, CPU), reference).divergence
    assert probe.of_weights("layer3.1.conv2", 2) == pytest.approx(expected, rel=1e-3)

    whole = dense.slimmed(dense_policy(dense.traced.graph))
    (keys,) = [keys for keys in dense.places.tied if dense.places.reads["layer2.1.conv1"] in keys]
    assert len(keys) > 1  # what the block reads is added to what it makes
    rounded = QuantizedNetwork(whole, {}, {}, {key: singles.activations[key, 4] for key in keys})
    expected = compare(answers(rounded, batches, CPU), reference).divergence
    assert probe.of_inputs("layer2.1.conv1", 4) == pytest.approx(expected, rel=1e-3)


def test_a_branch_goes_with_the_groups_inside_it() -> None:
    # A bottleneck: where the second group keeps nothing, the first one has no reader left.
    model = lively("timm:resnet26")
    traced = trace_prunable(model, (3, 32, 32))
    branch = next(group for group in traced.graph.prunable if group.drops)
    images = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    order = scores(model, traced, "l2")
    recovery = Recovery(model, traced, order, input_statistics(model, traced, [images]))
    norms = foldable(model, traced, images)
    places = dense_places(model, traced, norms, images)
    dense = DenseNetwork(
        model, traced, order, recovery, SequentialRecovery(model, traced, images), norms, places, images, CPU
    )
    table = measured_table(
        dense, [Knob(branch.name, "channels", (0, branch.channels))], Probe(dense, [images]), lambda name: None
    )
    assert table.losses[0][0] > table.losses[0][1] == 0.0
