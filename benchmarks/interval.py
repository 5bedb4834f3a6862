"""Means, medians and correlations of a few repetitions, with their 95% intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, rankdata, sem, t

_RESAMPLES = 9999


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and where it may lie."""

    value: float
    ci95: tuple[float, float] | None
    """Both ends; None where one repetition says nothing of the spread."""


def mean95(values: Sequence[float]) -> Estimate:
    """The mean, with Student's t interval."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean, None)
    half = float(t.ppf(0.975, len(values) - 1)) * float(sem(values))
    return Estimate(mean, (mean - half, mean + half))


def median95(values: Sequence[float]) -> Estimate:
    """The median, with a percentile bootstrap interval; times and ratios of times are far from normal."""
    median = float(np.median(values))
    if len(values) < 2:
        return Estimate(median, None)
    sample = (np.asarray(values, dtype=np.float64),)
    found = bootstrap(sample, np.median, n_resamples=_RESAMPLES, method="percentile", rng=0)
    return Estimate(median, (float(found.confidence_interval.low), float(found.confidence_interval.high)))


def paired95(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """The mean of `ours - theirs`, seed by seed, with Student's t interval.

    Raises:
        ValueError: If there are not as many of one as of the other.
    """
    return mean95([mine - other for mine, other in zip(ours, theirs, strict=True)])


def rank_correlation95(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Spearman's correlation, with a percentile bootstrap interval over pairs; 0 where one tells nothing apart."""
    pairs = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    found = bootstrap(pairs, _spearman, n_resamples=_RESAMPLES, method="percentile", paired=True, rng=0)
    ends = float(found.confidence_interval.low), float(found.confidence_interval.high)
    return Estimate(float(_spearman(*pairs)), ends)


def _spearman(first: NDArray[np.float64], second: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    """For each row; `scipy.stats.spearmanr` takes one row at a time, and a bootstrap has ten thousand."""
    ranks = [rankdata(each, axis=axis) for each in (first, second)]
    one, two = (each - each.mean(axis=axis, keepdims=True) for each in ranks)
    scale = np.sqrt((one**2).sum(axis=axis) * (two**2).sum(axis=axis))
    return np.asarray((one * two).sum(axis=axis) / np.where(scale > 0, scale, 1.0), dtype=np.float64)
