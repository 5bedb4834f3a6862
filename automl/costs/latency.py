"""Latency as a function of the policy, fitted to networks that were timed on a device.

Sums of operators timed one by one miss what lies between them (layouts, caches, calls): `benchmarks.latency` shows how
much. Whole networks of random policies do not, and a dozen additive features without negative weights explain them.
Where the parts of a network that ran as a whole were timed, each layer is an equation of its own and a few networks do.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import spearmanr

from automl.core.errors import InputError
from automl.core.graph import ModelGraph
from automl.core.quadratic import QuadraticForm
from automl.costs.latency_features import latency_features, layer_features

LEAST_NETWORKS = 24
"""Timed networks that a fit of whole networks needs: there are about as many features."""
LEAST_LAYERED = 2
"""Networks with timed layers that a fit of layers needs: one of them is left out to know the error."""
_FOLDS = 5
_RIDGE = 1e-3
"""Keeps features that vary together from taking turns; of the largest value of each."""


@dataclass(frozen=True, slots=True)
class FitError:
    """How far predictions are off for networks that the fit has not seen (cross-validated)."""

    mean: float
    """Mean absolute error as a share of the measured time."""
    worst: float
    """The largest one."""
    rank_correlation: float
    """Spearman's, of predicted with measured times; 0 where either are all equal."""
    networks: int
    """Networks that were timed."""


@dataclass(frozen=True, slots=True, eq=False)
class LatencyFit:
    """A device's latency."""

    form: QuadraticForm
    """Milliseconds as a function of the widths, in the order of `graph.prunable`."""
    weights: Mapping[str, float]
    """Feature -> milliseconds per unit; those of 0 are left out."""
    error: FitError


def fit_latency(
    graph: ModelGraph, policies: Sequence[Mapping[str, int]], latency_ms: NDArray[np.float64]
) -> LatencyFit:
    """Finds the non-negative weights of `latency_features` with the least relative square error.

    Args:
        graph: The network.
        policies: Channels of every group, `LEAST_NETWORKS` or more of them.
        latency_ms: Shape `(policies,)`.

    Raises:
        InputError: If there are fewer.
    """
    if len(policies) < LEAST_NETWORKS:
        raise InputError(
            f"Latency takes at least {LEAST_NETWORKS} timed networks to be predicted, but there are {len(policies)}. "
            "Time as many as a pack of `automl profile` has; or give the time of every layer, called as by `automl "
            f"describe --layers` ({graph.layers[0].name!r} to {graph.layers[-1].name!r}); then {LEAST_LAYERED} do."
        )
    features = latency_features(graph)
    widths = _widths(graph, policies)
    table = np.stack([form(widths) for form in features.values()], axis=1)
    used = _used(features, _weights(table, latency_ms, latency_ms))
    return LatencyFit(
        form=_sum([features[name].scaled(weight) for name, weight in used.items()]),
        weights=used,
        error=_cross_validated(table, latency_ms),
    )


def fit_layers(
    graph: ModelGraph,
    policies: Sequence[Mapping[str, int]],
    layers_ms: NDArray[np.float64],
    rest_ms: NDArray[np.float64],
) -> LatencyFit:
    """Finds the non-negative weights of `layer_features` with the least square error of layers.

    An error counts as a share of its network's time, so that the layers that take long decide. What no layer takes,
    such as pooling, is a constant: its mean.

    Args:
        graph: The network.
        policies: Channels of every group, `LEAST_LAYERED` or more of them.
        layers_ms: Shape `(policies, layers)`, in the order of `graph.layers`.
        rest_ms: Shape `(policies,)`: what else a network takes, 0 or more.

    Raises:
        InputError: If there are fewer.
    """
    if len(policies) < LEAST_LAYERED:
        raise InputError(
            f"Latency takes at least {LEAST_LAYERED} networks with timed layers to be predicted, but there is "
            f"{len(policies)}. Time another one of other widths."
        )
    names, table = _layer_table(graph, _widths(graph, policies))
    total_ms = layers_ms.sum(axis=1) + rest_ms
    predicted = np.zeros(len(policies))
    for out in range(len(policies)):
        others = np.arange(len(policies)) != out
        weights = _layer_weights(table[others], layers_ms[others], total_ms[others])
        predicted[out] = float((table[out] @ weights).sum() + rest_ms[others].mean())
    used = _used(names, _layer_weights(table, layers_ms, total_ms))
    features = latency_features(graph)
    layers = _sum([features[name].scaled(weight) for name, weight in used.items()])
    form = replace(layers, constant=layers.constant + float(rest_ms.mean()))
    return LatencyFit(form, used, _error(predicted, total_ms))


def _widths(graph: ModelGraph, policies: Sequence[Mapping[str, int]]) -> NDArray[np.int64]:
    """Shape `(policies, groups)`."""
    groups = [group.name for group in graph.prunable]
    return np.array([[policy[name] for name in groups] for policy in policies], dtype=np.int64)


def _layer_table(graph: ModelGraph, widths: NDArray[np.int64]) -> tuple[list[str], NDArray[np.float64]]:
    """The features, and what each layer has of them: shape `(networks, layers, features)`."""
    # A form is as large as the square of all groups: only one layer's exist at a time.
    seen = [{name: form(widths) for name, form in layer_features(graph, layer).items()} for layer in graph.layers]
    names = list(dict.fromkeys(name for found in seen for name in found))
    nothing = np.zeros(len(widths))
    return names, np.stack([np.stack([found.get(x, nothing) for x in names], axis=1) for found in seen], axis=1)


def _layer_weights(
    table: NDArray[np.float64], layers_ms: NDArray[np.float64], total_ms: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Shape `(features,)` for `table`, of shape `(networks, layers, features)`."""
    unit_ms = np.repeat(total_ms, layers_ms.shape[1])
    return _weights(table.reshape(-1, table.shape[2]), layers_ms.reshape(-1), unit_ms)


def _used(names: Iterable[str], weights: NDArray[np.float64]) -> dict[str, float]:
    return {name: float(weight) for name, weight in zip(names, weights, strict=True) if weight > 0}


def _weights(
    table: NDArray[np.float64], times_ms: NDArray[np.float64], unit_ms: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Shape `(features,)` for `table`, of shape `(times, features)`; errors are measured in `unit_ms`."""
    scale = np.maximum(table.max(axis=0), 1e-12)
    rows = table / scale / unit_ms[:, None]
    ridge = _RIDGE * np.sqrt(len(rows)) * np.eye(rows.shape[1]) * rows.mean()
    found, _ = nnls(np.concatenate([rows, ridge]), np.concatenate([times_ms / unit_ms, np.zeros(len(ridge))]))
    return np.asarray(found / scale, dtype=np.float64)


def _cross_validated(table: NDArray[np.float64], latency_ms: NDArray[np.float64]) -> FitError:
    predicted = np.zeros(len(latency_ms))
    fold = np.random.default_rng(0).permutation(len(latency_ms)) % _FOLDS
    for number in range(_FOLDS):
        out = fold == number
        predicted[out] = table[out] @ _weights(table[~out], latency_ms[~out], latency_ms[~out])
    return _error(predicted, latency_ms)


def _error(predicted: NDArray[np.float64], latency_ms: NDArray[np.float64]) -> FitError:
    errors = np.abs(predicted / latency_ms - 1.0)
    rank = 0.0 if min(np.ptp(predicted), np.ptp(latency_ms)) == 0 else float(spearmanr(predicted, latency_ms).statistic)
    return FitError(float(errors.mean()), float(errors.max()), rank, len(latency_ms))


def _sum(forms: Sequence[QuadraticForm]) -> QuadraticForm:
    return QuadraticForm(
        sum(form.constant for form in forms),
        np.sum([form.linear for form in forms], axis=0),
        np.sum([form.products for form in forms], axis=0),
        forms[0].views,
    )
