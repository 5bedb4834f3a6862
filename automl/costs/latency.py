"""Latency as a function of the policy, fitted to whole networks that were timed on a device.

Sums of operators timed one by one miss what lies between them (layouts, caches, calls): `benchmarks.latency` shows how
much. Whole networks of random policies do not, and a dozen additive features without negative weights explain them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import spearmanr

from automl.core.graph import ModelGraph
from automl.core.quadratic import QuadraticForm
from automl.costs.latency_features import latency_features

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
    """Spearman's, of predicted with measured times."""
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
        policies: Channels of every group, 24 or more of them.
        latency_ms: Shape `(policies,)`.
    """
    features = latency_features(graph)
    groups = [group.name for group in graph.prunable]
    widths = np.array([[policy[name] for name in groups] for policy in policies], dtype=np.int64)
    table = np.stack([form(widths) for form in features.values()], axis=1)
    weights = _weights(table, latency_ms)
    used = {name: float(weight) for name, weight in zip(features, weights, strict=True) if weight > 0}
    return LatencyFit(
        form=_sum([features[name].scaled(weight) for name, weight in used.items()]),
        weights=used,
        error=_cross_validated(table, latency_ms),
    )


def _weights(table: NDArray[np.float64], latency_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shape `(features,)` for `table`, of shape `(networks, features)`."""
    scale = np.maximum(table.max(axis=0), 1e-12)
    rows = table / scale / latency_ms[:, None]
    ridge = _RIDGE * np.sqrt(len(rows)) * np.eye(rows.shape[1]) * rows.mean()
    found, _ = nnls(np.concatenate([rows, ridge]), np.concatenate([np.ones(len(rows)), np.zeros(len(ridge))]))
    return np.asarray(found / scale, dtype=np.float64)


def _cross_validated(table: NDArray[np.float64], latency_ms: NDArray[np.float64]) -> FitError:
    predicted = np.zeros(len(latency_ms))
    fold = np.random.default_rng(0).permutation(len(latency_ms)) % _FOLDS
    for number in range(_FOLDS):
        out = fold == number
        predicted[out] = table[out] @ _weights(table[~out], latency_ms[~out])
    errors = np.abs(predicted / latency_ms - 1.0)
    rank = float(spearmanr(predicted, latency_ms).statistic)
    return FitError(float(errors.mean()), float(errors.max()), rank, len(latency_ms))


def _sum(forms: Sequence[QuadraticForm]) -> QuadraticForm:
    return QuadraticForm(
        sum(form.constant for form in forms),
        np.sum([form.linear for form in forms], axis=0),
        np.sum([form.products for form in forms], axis=0),
        forms[0].views,
    )
