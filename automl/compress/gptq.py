"""GPTQ rounding: every rounding error is made up for by the weights that are still to be rounded.

Frantar et al. 2023: weights are rounded entry by entry, and after each the rest moves to where the layer's outputs
change least, which follows from the covariance of its inputs. No data is read, and nothing is trained.
"""

import torch
from torch import Tensor

from automl.compress.factor import RIDGE, SMALLEST_PIVOT

_BLOCK = 128
"""Entries after which the errors reach the rest of the weights; within a block they do at once."""


def gptq(weight: Tensor, covariance: Tensor, scale: Tensor, high: int, *, ridge: float = RIDGE) -> Tensor:
    """Integers for the weights of several problems of one shape, such as the channels of a depthwise convolution.

    Entries of large variance go first (`act-order`): theirs are the errors that the others have to make up for.

    Args:
        weight: Shape `(problems, rows, entries)`; each row is one output's.
        covariance: Of the inputs, shape `(problems, entries, entries)`, symmetric, float64.
        scale: Step of each row's symmetric grid, shape `(problems, rows)`.
        high: The grid's largest integer.
        ridge: Added to each covariance's diagonal, relative to its mean; one that is still singular gets more.

    Returns:
        int32, shaped like `weight`, from `-high` to `high`.
    """
    order = covariance.diagonal(dim1=1, dim2=2).argsort(dim=1, descending=True)
    upper = _inverse_factor(_ordered(covariance, order), ridge)
    entries = weight.shape[2]
    rest = weight.detach().double().gather(2, order[:, None].expand_as(weight))
    steps = scale.double()
    found = torch.empty_like(rest)
    for start in range(0, entries, _BLOCK):
        stop = min(start + _BLOCK, entries)
        errors = torch.empty_like(rest[:, :, start:stop])
        for entry in range(start, stop):
            column = rest[:, :, entry]
            integer = torch.round(column / steps).clamp(-high, high)
            found[:, :, entry] = integer
            error = (column - integer * steps) / upper[:, entry, entry, None]
            rest[:, :, entry:stop] -= error[:, :, None] * upper[:, None, entry, entry:stop]
            errors[:, :, entry - start] = error
        rest[:, :, stop:] -= errors @ upper[:, start:stop, stop:]
    return torch.empty_like(found).scatter_(2, order[:, None].expand_as(found), found).int()


def _ordered(covariance: Tensor, order: Tensor) -> Tensor:
    rows = covariance.gather(1, order[:, :, None].expand_as(covariance))
    return rows.gather(2, order[:, None].expand_as(covariance))


def _inverse_factor(covariance: Tensor, ridge: float) -> Tensor:
    """Upper triangle U of each damped covariance's inverse: `U.mT @ U`."""
    diagonal = covariance.diagonal(dim1=1, dim2=2)
    scale = diagonal.mean(dim=1, keepdim=True)
    scale = torch.where(scale > 0, scale, 1.0)  # inputs that are always 0 leave every rounding alone
    identity = torch.eye(covariance.shape[1], dtype=covariance.dtype, device=covariance.device)
    while True:
        damped = covariance.clone()
        damped.diagonal(dim1=1, dim2=2).add_(ridge * scale)
        # Of the reversed matrix, so that the factor's inverse is the triangle that is wanted.
        lower, failed = torch.linalg.cholesky_ex(damped.flip(1, 2))
        pivots = lower.diagonal(dim1=1, dim2=2).square()
        small = pivots.amin(dim=1) <= SMALLEST_PIVOT * pivots.amax(dim=1)
        if not bool((small | (failed != 0)).any()):
            upper: Tensor = torch.linalg.solve_triangular(lower.flip(1, 2), identity, upper=True)
            return upper
        ridge = max(10 * ridge, 1e-9)
