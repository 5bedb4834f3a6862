import numpy as np
import pytest

from automl.core.budget import METRICS, Metric
from automl.core.policy import CompressionPolicy
from automl.core.quadratic import QuadraticForm
from automl.core.view import WIDTH, View
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


def test_a_form_of_views_is_the_hand_count() -> None:
    views = (WIDTH, View("padded", 16), View("alive"))
    linear = np.array([1.0, 0.0, 5.0, 0.0, 2.0, 0.0])
    products = np.zeros((6, 6))
    products[0, 1], products[1, 4] = 0.5, 0.25  # width times padded width of one group; padded times padded of two
    form = QuadraticForm(3.0, linear, products, views)
    # Widths 8 and 20 are 16 and 32 padded: 3 + 8 + 5 + 2 * 32 + 0.5 * 8 * 16 + 0.25 * 16 * 32.
    assert form(np.array([[8, 20], [0, 20], [0, 0]])).tolist() == [3 + 8 + 5 + 64 + 64 + 128, 3 + 64, 3]
    assert form.scaled(2.0)(np.array([[8, 20]])).tolist() == [2 * 272]
    assert form.scaled(2.0).views == views


def test_a_form_on_the_grid_costs_the_same_in_any_order() -> None:
    random = np.random.default_rng(0)
    views = (WIDTH, View("padded", 16))
    form = QuadraticForm(0.1, random.random(24) / 1e3, np.triu(random.random((24, 24))) / 1e6, views)
    exact = form.on_grid()
    widths = random.integers(1, 200, (50, 12))
    assert exact(widths) == pytest.approx(form(widths), rel=1e-6)
    order = random.permutation(12)
    places = np.stack([2 * order, 2 * order + 1], axis=1).ravel()
    whole = exact.products + exact.products.T
    turned = np.triu(whole[np.ix_(places, places)], 1) + np.diag(exact.products.diagonal()[places])
    other = QuadraticForm(exact.constant, exact.linear[places], turned, views)
    assert other(widths[:, order]).tolist() == [exact(row[None])[0] for row in widths]
