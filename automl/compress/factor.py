"""The Cholesky factor of a covariance, damped as much as it needs."""

from dataclasses import dataclass

import torch
from torch import Tensor

RIDGE = 1e-2
"""Added to a covariance's diagonal, relative to its mean; it draws recovered weights towards the dense ones."""

SMALLEST_PIVOT = 1e-13
"""A squared pivot below this share of the largest variance is rounding error, not a factor."""


@dataclass(frozen=True, slots=True)
class Factor:
    """Lower triangle L with `L @ L.T == covariance + added * identity`."""

    lower: Tensor
    """Shape `(entries, entries)`, float64."""
    added: float
    """What was added to the diagonal, in the covariance's unit."""
    ridge: float
    """The same, relative to the mean of the diagonal."""


def factorise(covariance: Tensor, rows: int, ridge: float = RIDGE) -> Factor:
    """Factorises `covariance`, with more damping than asked where it is singular.

    A covariance of no more rows than entries is singular for certain: then the ridge is at least the shrinkage that
    such a sample needs (oracle approximating shrinkage; Chen et al. 2010). One that turns out to be singular gets ten
    times the ridge until it has a factor.

    Args:
        covariance: Symmetric, shape `(entries, entries)`, float64.
        rows: Samples that it was estimated from.
        ridge: Asked damping, relative to the mean of the diagonal; at least 0.
    """
    entries = len(covariance)
    diagonal = covariance.diagonal()
    scale = float(diagonal.mean()) or 1.0
    if rows <= entries:
        ridge = max(ridge, _shrinkage(covariance, rows))
    while True:
        damped = covariance.clone()
        damped.diagonal().add_(ridge * scale)
        lower, failed = torch.linalg.cholesky_ex(damped)
        if not failed and float(lower.diagonal().min()) ** 2 > SMALLEST_PIVOT * float(damped.diagonal().max()):
            return Factor(lower, ridge * scale, ridge)
        ridge = max(10 * ridge, 1e-9)


def _shrinkage(covariance: Tensor, rows: int) -> float:
    """The ridge, relative to the mean of the diagonal, that oracle approximating shrinkage gives; at most 1."""
    entries = len(covariance)
    mean_square = float(covariance.square().mean())
    squared_mean = float(covariance.diagonal().mean()) ** 2
    below = (rows + 1) * (mean_square - squared_mean / entries)
    share = min(0.5, (mean_square + squared_mean) / below) if below > 0 else 0.5
    return share / (1 - share)
