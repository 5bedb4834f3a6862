from pathlib import Path

import numpy as np
import pytest

from automl.core.errors import InputError
from automl.core.graph import ChannelGroup, Extent, Layer, ModelGraph
from automl.costs.latency import fit_latency, fit_layers
from automl.costs.latency_features import latency_features, layer_features
from automl.models.registry import build
from automl.tracing.trace import trace
from search_spaces.amc import amc_policy
from tests.pixel1 import CHANNELS, pixel1_times

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


def test_layers_together_have_all_features_but_sums() -> None:
    graph, widths = block_graph(), np.array([[20, 40], [64, 7]])
    parts = [layer_features(graph, layer) for layer in graph.layers]
    assert set(parts[1]) == {"layers", *(name for name in latency_features(graph) if name.startswith("depthwise"))}
    assert parts[2]["pointwise"](widths) == pytest.approx([100 * 20 * 40 / 1e6, 100 * 64 * 7 / 1e6])
    for name, form in latency_features(graph).items():
        if name != "sum":
            found = sum(part[name](widths) for part in parts if name in part)
            np.testing.assert_allclose(found, form(widths), rtol=1e-12)


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


def test_too_few_whole_networks_are_refused() -> None:
    policies, latency_ms = sampled(23)
    with pytest.raises(InputError, match=r"at least 24 timed networks .* there are 23.*'a' to 'fc'.*then 2 do"):
        fit_latency(block_graph(), policies, latency_ms)


POOL_MS = 0.02


def layers_ms(a: int, b: int) -> list[float]:
    """Milliseconds of each layer of `block_graph` on a machine of known speeds."""
    return [
        0.01 + 2.0 * 100 * 9 * 3 * (16 * -(-a // 16)) / 1e6,
        0.01 + 40.0 * 100 * 9 * a / 1e6,
        0.01 + 3.0 * 100 * a * b / 1e6 + 9.0 * 100 * b / 1e6,
        0.01 + 3.0 * 100 * b * b / 1e6 + 9.0 * 100 * b / 1e6,
        0.01 + 5.0 * 10 * b / 1e6,
    ]


def timed(*widths: tuple[int, int]) -> tuple[list[dict[str, int]], np.ndarray[tuple[int, int], np.dtype[np.float64]]]:
    return [{"a": a, "b": b} for a, b in widths], np.array([layers_ms(a, b) for a, b in widths])


def test_a_machine_of_known_layers_is_recovered_from_a_few_networks() -> None:
    # Two widths of the depthwise layer are multiples of 16 and two are not: any three tell what that makes.
    policies, times = timed((64, 96), (40, 50), (48, 80), (33, 17))
    fit = fit_layers(block_graph(), policies, times, np.full(4, POOL_MS))
    generator = np.random.default_rng(0)
    unseen = np.stack([generator.integers(8, 65, 20), generator.integers(8, 97, 20)], axis=1)
    truth = [sum(layers_ms(int(a), int(b))) + POOL_MS for a, b in unseen]
    np.testing.assert_allclose(fit.form(unseen), truth, rtol=0.01)
    assert min(fit.weights.values()) > 0
    assert fit.error.worst < 0.01
    assert fit.error.networks == 4
    assert fit.error.rank_correlation == 1


def test_what_no_layer_takes_is_its_mean() -> None:
    policies, times = timed((64, 96), (40, 50))
    without = fit_layers(block_graph(), policies, times, np.zeros(2))
    total_ms = times.sum(axis=1)
    fit = fit_layers(block_graph(), policies, times, 1e-6 * np.array([1.0, 3.0]))
    assert fit.form.constant - without.form.constant == pytest.approx(2e-6, rel=0.01)
    # Each network is predicted from the other one alone, rest and all.
    far = fit_layers(block_graph(), policies, times, np.array([0.0, 1e3]))
    assert far.error.worst == pytest.approx(1e3 / total_ms[0], rel=0.01)


def test_layers_of_one_network_are_too_few() -> None:
    policies, times = timed((64, 96))
    with pytest.raises(InputError, match=r"at least 2 networks with timed layers .* there is 1"):
        fit_layers(block_graph(), policies, times, np.zeros(1))


def test_networks_that_all_take_the_same_time_have_no_order() -> None:
    policies, times = timed((64, 96), (64, 96))
    assert fit_layers(block_graph(), policies, times, np.zeros(2)).error.rank_correlation == 0


def test_each_of_four_networks_on_a_pixel_1_is_predicted_from_the_layers_of_the_others(tmp_path: Path) -> None:
    graph = trace(build("timm:mobilenetv1_100"), (3, 224, 224)).graph
    names = [layer.name for layer in graph.layers]
    times = pixel1_times(tmp_path, names)
    layers = times.layers_ms(names, range(4))
    assert layers is not None
    policies = [amc_policy(graph, channels).channels for channels in CHANNELS.values()]
    error = fit_layers(graph, policies, layers, times.latency_ms() - layers.sum(axis=1)).error
    assert error.networks == 4
    assert error.mean < 0.025
    assert error.worst < 0.04
