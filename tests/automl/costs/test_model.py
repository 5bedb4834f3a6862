from dataclasses import replace

import numpy as np
import pytest

from automl.compress.places import with_quantizable
from automl.core.bits import BitWidths
from automl.core.graph import Extent, TensorShape
from automl.core.policy import CompressionPolicy, dense_policy
from automl.core.quadratic import QuadraticForm
from automl.core.view import WIDTH, View
from automl.costs.model import AnalyticCostModel
from automl.tracing.trace import trace
from tests.families import lively
from tests.quantized import quantizable_graph
from tests.tiny import tiny_graph


def test_the_dense_cost_is_the_hand_count() -> None:
    cost = AnalyticCostModel(tiny_graph())(dense_policy(tiny_graph()))
    # a: 16 positions * 16 filters * 27; b: 16 * 32 * 144; fc: 10 * 32.
    assert cost.macs == 16 * 16 * 27 + 16 * 32 * 144 + 320
    # a.weight 432, b.weight 4608, b.bias 32, fc.weight 320; the 8-byte counter is stored but not learned;
    # 400 bytes of structure for each of the three layers.
    assert cost.params == 432 + 4608 + 32 + 320
    assert cost.size_bytes == 4 * (432 + 4608 + 32 + 320) + 8 + 1200
    assert cost.bops == cost.macs * 32 * 32


def test_halving_channels_quarters_the_macs_between_two_pruned_layers() -> None:
    cost = AnalyticCostModel(tiny_graph())(CompressionPolicy({"a": 8, "b": 16}))
    assert cost.macs == 16 * 8 * 27 + 16 * 16 * 72 + 160


def test_the_table_prices_many_policies_as_one_by_one() -> None:
    model = AnalyticCostModel(tiny_graph())
    widths = np.array([[16, 32], [8, 16], [1, 1], [5, 30]])
    rows = model.table(widths)
    for (a, b), row in zip(widths.tolist(), rows, strict=True):
        cost = model(CompressionPolicy({"a": a, "b": b}))
        assert row.tolist() == [cost.macs, cost.params, cost.size_bytes, cost.bops]


def padded_latency() -> QuadraticForm:
    """Half a millisecond, a hundredth per 16 channels of `a`, and 2^-20 per product of the widths of `a` and `b`."""
    products = np.zeros((4, 4))
    products[0, 2] = 2.0**-20
    return QuadraticForm(0.5, np.array([0.0, 0.01 / 16, 0.0, 0.0]), products, (WIDTH, View("padded", 16)))


def test_a_known_device_adds_its_milliseconds_to_every_cost() -> None:
    model = AnalyticCostModel(tiny_graph(), padded_latency())
    plain = AnalyticCostModel(tiny_graph())
    cost = model(CompressionPolicy({"a": 8, "b": 20}))
    assert cost.latency_ms == pytest.approx(0.5 + 0.01 + 160 / 2**20, rel=1e-9)
    assert replace(cost, latency_ms=None) == plain(CompressionPolicy({"a": 8, "b": 20}))
    widths = np.array([[8, 20], [16, 32]])
    assert model.table(widths)[:, :4].tolist() == plain.table(widths).tolist()
    assert model.table(widths)[0, 4] == cost.latency_ms
    assert len(model.forms) == 5
    assert len(plain.forms) == plain.table(widths).shape[1] == 4
    assert plain(dense_policy(tiny_graph())).latency_ms is None


def test_bits_leave_the_milliseconds_as_they_are() -> None:
    model = AnalyticCostModel(quantizable_graph(), padded_latency())
    whole, fewer = (model(CompressionPolicy({"a": 8}, bits)) for bits in ({}, W4A8))
    assert fewer.latency_ms == whole.latency_ms
    assert model.bit_costs is not None
    assert len(model.bit_costs.forms) == 5


W4A8 = {"a": BitWidths(8, 8), "b": BitWidths(4, 8), "fc": BitWidths(8, 8)}


def test_bits_price_macs_and_weights() -> None:
    model = AnalyticCostModel(quantizable_graph())
    cost = model(CompressionPolicy({"a": 8, "b": 16}, W4A8))
    a, b, fc = 16 * 8 * 27, 16 * 16 * 72, 160
    assert cost.macs == a + b + fc
    assert cost.bops == 64 * a + 32 * b + 64 * fc
    # Weights: 8 * 27 bytes, 16 * 72 halves, 160 bytes; a bias and a scale for each output, a zero point for each of fc;
    # the counter; the structure of three layers and four quantizers.
    assert cost.size_bytes == 8 * 27 + 16 * 72 // 2 + 160 + 8 * (8 + 16) + 9 * 10 + 8 + 3 * 350 + 4 * 130
    # Weights, and a bias for each output, which two of the layers did not have before.
    assert cost.params == 8 * 27 + 16 * 72 + 160 + (8 + 16 + 10)


def test_a_policy_without_bits_costs_what_a_float_network_costs() -> None:
    policy = CompressionPolicy({"a": 8, "b": 16})
    assert AnalyticCostModel(quantizable_graph())(policy) == AnalyticCostModel(tiny_graph())(policy)


def test_3_bits_are_stored_as_4_and_5_as_8() -> None:
    model = AnalyticCostModel(quantizable_graph())
    sizes = {
        bits: model(CompressionPolicy({}, {**W4A8, "b": BitWidths(bits, 8)})).size_bytes for bits in (2, 3, 4, 5, 8)
    }
    assert sizes[2] == sizes[3] == sizes[4] < sizes[5] == sizes[8]


def test_folded_batch_norms_take_no_room_in_a_quantized_file() -> None:
    graph = quantizable_graph()
    assert graph.quantizable is not None
    norm = TensorShape("norm.weight", (Extent(16),), True, 4)
    whole = replace(graph, tensors=(*graph.tensors, norm))
    folded = replace(whole, quantizable=replace(graph.quantizable, folded=("norm",)))
    policy = CompressionPolicy({}, W4A8)
    assert AnalyticCostModel(whole)(policy).size_bytes == AnalyticCostModel(graph)(policy).size_bytes + 64
    assert AnalyticCostModel(folded)(policy).size_bytes == AnalyticCostModel(graph)(policy).size_bytes


@pytest.mark.parametrize(("bits", "billions"), [(8, 116), (4, 34)])
def test_a_resnet_18_has_the_bops_that_are_published(bits: int, billions: int) -> None:
    # Yao et al. 2021 (HAWQ-V3): the first and the last layer have 8 bits. Whole billions; ours are 116.1 and 34.7.
    model = lively("torchvision:resnet18")
    graph = with_quantizable(model, trace(model, (3, 224, 224))).graph
    assert graph.quantizable is not None
    ends = graph.quantizable.ends
    chosen = {name: BitWidths(8, 8) if name in ends else BitWidths(bits, bits) for name in graph.quantizable.layers}
    assert int(AnalyticCostModel(graph)(CompressionPolicy({}, chosen)).bops / 1e9) == billions
