import numpy as np
import pytest

from automl.core.graph import ChannelGroup, Extent, Layer, ModelGraph
from automl.costs.latency import fit_latency
from automl.costs.latency_features import latency_features

A, B = Extent(0, (("a", 1),)), Extent(0, (("b", 1),))
ONE = Extent(1)


def block_graph() -> ModelGraph:
    """Stem 3 -> a, depthwise a, pointwise a -> b, pointwise b -> b's sum, linear b -> 10; maps of 10 x 10."""
    return ModelGraph(
        input_shape=(3, 10, 10),
        layers=(
            Layer("a", "conv", A, Extent(3), Extent(3), (3, 3), (1, 1), (10, 10), 100),
            Layer("dw", "depthwise", A, A, ONE, (3, 3), (1, 1), (10, 10), 100),
            Layer("b", "conv", B, A, A, (1, 1), (1, 1), (10, 10), 100),
            Layer("c", "conv", B, B, B, (1, 1), (1, 1), (10, 10), 100),
            Layer("fc", "linear", Extent(10), B, B, (1, 1), (1, 1), (1, 1), 1),
        ),
        groups=(
            ChannelGroup("a", 64, ("a", "dw"), ("dw", "b")),
            ChannelGroup("b", 96, ("b", "c"), ("c", "fc")),
            ChannelGroup("fc", 10, ("fc",), (), "class logits"),
        ),
        tensors=(),
    )


def test_features_are_counted_by_hand() -> None:
    found = {name: form(np.array([[20, 40]]))[0] * 1e6 for name, form in latency_features(block_graph()).items()}
    assert found["layers"] == pytest.approx(5e6)
    assert found["stem"] == pytest.approx(100 * 9 * 3 * 32)
    assert found["depthwise"] == pytest.approx(100 * 9 * 20)
    assert found["depthwise/padded"] == pytest.approx(100 * 9 * 32)
    assert found["depthwise/odd"] == pytest.approx(100 * 9 * 20)  # 20 is no multiple of 16 ...
    assert found["depthwise/unaligned"] == 0  # ... but of 4
    assert found["pointwise"] == pytest.approx(100 * (20 * 40 + 40 * 40))
    assert found["pointwise/padded"] == pytest.approx(100 * (32 * 48 + 48 * 48))
    assert found["pointwise/outputs"] == pytest.approx(100 * (40 + 40))
    assert found["pointwise/inputs"] == pytest.approx(100 * (20 + 40))
    assert found["pointwise/weights"] == pytest.approx(20 * 40 + 40 * 40)
    assert found["matrix"] == pytest.approx(40 * 10)
    assert found["sum"] == pytest.approx(100 * 40)  # `c` is added to `b`


def test_a_strided_layer_reads_more_than_it_makes() -> None:
    layer = Layer("a", "conv", A, Extent(3), Extent(3), (1, 1), (1, 1), (10, 10), 100)
    strided = Layer("b", "conv", B, A, A, (3, 3), (2, 2), (5, 5), 25)
    groups = (ChannelGroup("a", 8, ("a",), ("b",)), ChannelGroup("b", 8, ("b",), ()))
    features = latency_features(ModelGraph((3, 10, 10), (layer, strided), groups, ()))
    assert features["spatial/inputs"](np.array([[4, 2]]))[0] * 1e6 == pytest.approx(100 * 4)
    assert features["spatial/outputs"](np.array([[4, 2]]))[0] * 1e6 == pytest.approx(25 * 2)


TRUTH = {"layers": 0.01, "stem": 2.0, "depthwise/odd": 40.0, "pointwise": 3.0, "pointwise/outputs": 9.0}


def sampled(count: int) -> tuple[list[dict[str, int]], np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Policies, and what a machine of which `TRUTH` is the truth would take for them."""
    generator = np.random.default_rng(0)
    policies = [{"a": int(generator.integers(4, 65)), "b": int(generator.integers(4, 97))} for _ in range(count)]
    features = latency_features(block_graph())
    widths = np.array([[each["a"], each["b"]] for each in policies])
    return policies, np.sum([factor * features[name](widths) for name, factor in TRUTH.items()], axis=0)


def test_an_additive_machine_is_predicted_to_within_a_percent() -> None:
    policies, latency_ms = sampled(60)
    fit = fit_latency(block_graph(), policies[:40], latency_ms[:40])
    unseen = np.array([[each["a"], each["b"]] for each in policies[40:]])
    np.testing.assert_allclose(fit.form(unseen), latency_ms[40:], rtol=0.01)
    assert fit.error.mean < 0.005
    assert fit.error.rank_correlation > 0.99
    assert fit.error.networks == 40


def test_no_feature_makes_a_network_faster() -> None:
    policies, latency_ms = sampled(40)
    generator = np.random.default_rng(1)
    fit = fit_latency(block_graph(), policies, latency_ms * generator.uniform(0.8, 1.2, 40))
    assert min(fit.weights.values()) > 0
    assert fit.form.linear.min() >= 0
    assert fit.form.products.min() >= 0


def test_the_error_is_that_of_networks_not_seen() -> None:
    policies, latency_ms = sampled(40)
    noise = np.random.default_rng(2).normal(0, 0.05, 40)
    error = fit_latency(block_graph(), policies, latency_ms * np.exp(noise)).error
    assert 0.03 < error.mean < 0.07  # the mean of |noise| is 0.04
    assert error.worst > 0.08
