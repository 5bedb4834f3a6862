import numpy as np

from automl.core.policy import CompressionPolicy, dense_policy
from automl.costs.model import AnalyticCostModel
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
