import numpy as np

from automl.core.budget import METRICS, Metric
from automl.core.policy import CompressionPolicy
from automl.core.quadratic import QuadraticForm
from automl.costs.model import AnalyticCostModel
from tests.automl.search.choices import concatenation, residual
from tests.tiny import tiny_graph


def test_the_value_is_the_hand_count() -> None:
    form = QuadraticForm(5.0, np.array([1.0, 10.0]), np.array([[2.0, 3.0], [0.0, 0.0]]))
    # 5 + 1 * 2 + 10 * 7 + 2 * 2 * 2 + 3 * 2 * 7
    assert form(np.array([[2, 7], [0, 0]])).tolist() == [127.0, 5.0]
    assert form.scaled(2.0)(np.array([[2, 7]])).tolist() == [254.0]


def test_the_forms_of_the_tiny_network_are_the_hand_count() -> None:
    macs, params, size_bytes, bops = AnalyticCostModel(tiny_graph()).forms
    # a: 16 positions * 27 per filter; b: 16 * 9 per pair of channels; fc: 10 per channel of b.
    assert macs.constant == 0
    assert macs.linear.tolist() == [16 * 27, 10]
    assert macs.products.tolist() == [[0, 16 * 9], [0, 0]]
    assert params.linear.tolist() == [27, 1 + 10]
    assert size_bytes.constant == 3 * 400 + 8
    assert (bops.products == macs.products * 1024).all()


def test_the_forms_are_the_columns_of_the_table_and_the_layers_own_count() -> None:
    for choice in (residual(0), concatenation(0)):
        model = choice.cost_model
        widths = np.array([[k.choices[i % len(k.choices)] for k in choice.knobs] for i in range(3)])
        table = model.table(widths)
        for column, form in enumerate(model.forms):
            assert form(widths).tolist() == table[:, column].tolist()
        for row, costs in zip(widths.tolist(), table.tolist(), strict=True):
            kept = dict(zip((k.target for k in choice.knobs), row, strict=True))
            assert costs[METRICS.index(Metric.FLOPS)] == sum(layer.macs(kept) for layer in choice.graph.layers)
            assert costs[METRICS.index(Metric.PARAMS)] == sum(t.values(kept) for t in choice.graph.tensors)
            assert costs[METRICS.index(Metric.FLOPS)] == model(CompressionPolicy(kept)).macs
