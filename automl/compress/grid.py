"""Uniform grids: the values that a quantized tensor may take."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from automl.core.bits import ACTIVATION_BITS, WEIGHT_BITS

Clip = Literal["max", "mse"]
"""How far a grid reaches: `max` to the largest value, `mse` to where the mean square error is least."""

_SHARES = torch.linspace(0.2, 1.0, 81)
"""Of the largest magnitude: the reaches that `mse` chooses from."""
_BLOCK_VALUES = 2**22
"""Values that are rounded at once while a reach is chosen."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Levels `scale * (integer - zero_point)` for integers from `low` to `high`."""

    scale: Tensor
    """Float, above 0; shape `()`, or `(channels,)` for one grid per entry of the first dimension."""
    zero_point: Tensor
    """int32, shaped like `scale`: the integer that stands for 0, which is always a level."""
    low: int
    high: int

    def to(self, device: torch.device) -> "Grid":
        """The same grid there."""
        return Grid(self.scale.to(device), self.zero_point.to(device), self.low, self.high)

    def rounded(self, values: Tensor) -> Tensor:
        """Each value's nearest level; gradients pass straight through inside the grid, and are 0 outside."""
        if torch.is_grad_enabled() and values.requires_grad:
            rounded: Tensor = _StraightThrough.apply(values, *self._over(values), self.low, self.high)
            return rounded
        scale, zero_point = self._over(values)
        return torch.div(values, scale).round_().clamp_(self.low - zero_point, self.high - zero_point).mul_(scale)

    def integers(self, values: Tensor) -> Tensor:
        """What `rounded` would store, int32, shaped like `values`."""
        scale, zero_point = self._over(values)
        return (torch.round(values / scale) + zero_point).clamp(self.low, self.high).int()

    def _over(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and zero point, shaped to go with `values`."""
        shape = (-1, *[1] * (values.ndim - 1)) if self.scale.ndim else ()
        return self.scale.reshape(shape), self.zero_point.reshape(shape)


class _StraightThrough(torch.autograd.Function):
    """Rounds on the way in, and lets gradients of what was not clipped pass on the way back (Bengio et al. 2013)."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        values: Tensor,
        scale: Tensor,
        zero_point: Tensor,
        low: int,
        high: int,
    ) -> Tensor:
        """Each value's nearest level."""
        steps = torch.div(values, scale).round_()
        clipped = steps.clamp(low - zero_point, high - zero_point)
        ctx.save_for_backward(steps == clipped)
        return clipped.mul_(scale)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        """The gradient where the value was inside the grid."""
        (inside,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient * inside, None, None, None, None


def weight_grid(
    weight: Tensor,
    bits: int,
    *,
    per_channel: bool = True,
    clip: Clip = "mse",
    importance: Tensor | None = None,
) -> Grid:
    """The symmetric grid of a weight; `2**bits - 1` levels, so that it is its own mirror image.

    Args:
        weight: Shape `(outputs, ...)`, finite.
        bits: 2 to 8.
        per_channel: Whether each output has its own grid.
        clip: `mse` searches reaches from a fifth of the largest magnitude on (Nahshan et al. 2021, section 3).
        importance: What the square error of each weight counts, such as the variance of its input; broadcasts to
            `weight`. All count the same where it is None.

    Raises:
        ValueError: If a grid of so many bits is not supported.
    """
    _check_bits(bits, WEIGHT_BITS)
    high = 2 ** (bits - 1) - 1
    rows = weight.detach().reshape(len(weight) if per_channel else 1, -1)
    peak = rows.abs().amax(dim=1)
    counts = (torch.ones(()) if importance is None else importance).to(weight).expand_as(weight).reshape(rows.shape)
    reach = peak if clip == "max" else peak * _best_shares(rows, counts, peak, high)
    # A channel of zeros has no reach; any scale represents it.
    scale = torch.where(reach > 0, reach / high, 1.0)
    zero_point = torch.zeros_like(scale, dtype=torch.int32)
    return Grid(scale, zero_point, -high, high) if per_channel else Grid(scale[0], zero_point[0], -high, high)


def activation_grid(lowest: float, highest: float, bits: int) -> Grid:
    """The grid of one tensor of activations that lie between two values.

    Args:
        lowest: The grid reaches down to it, or to 0 where it is above: padding is 0, and must stay so.
        highest: The grid reaches up to it, or to 0 where it is below.
        bits: 4 to 8.

    Raises:
        ValueError: If a grid of so many bits is not supported, or an end is not finite.
    """
    _check_bits(bits, ACTIVATION_BITS)
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        raise ValueError(f"The ends of a grid must be finite, but are {lowest} and {highest}")
    high = 2**bits - 1
    lowest, highest = min(lowest, 0.0), max(highest, 0.0)
    scale = (highest - lowest) / high or 1.0  # what is always 0 has no reach
    zero_point = min(max(round(-lowest / scale), 0), high)
    return Grid(torch.tensor(scale), torch.tensor(zero_point, dtype=torch.int32), 0, high)


def _best_shares(rows: Tensor, counts: Tensor, peak: Tensor, high: int) -> Tensor:
    """For each row the share of its peak with the least square error; the larger one where two are as good."""
    shares = _SHARES.to(rows).flip(0)
    best = torch.ones_like(peak)
    step = max(1, _BLOCK_VALUES // rows.shape[1])
    for start in range(0, len(rows), step):
        part, top, count = (each[start : start + step] for each in (rows, peak, counts))
        errors = torch.stack([_square_error(part, count, top * share / high, high) for share in shares])
        best[start : start + step] = shares[errors.argmin(dim=0)]
    return best


def _square_error(rows: Tensor, counts: Tensor, scale: Tensor, high: int) -> Tensor:
    steps = torch.where(scale > 0, scale, 1.0)[:, None]
    errors = (rows / steps).round_().clamp_(-high, high).mul_(steps).sub_(rows)
    return errors.square_().mul_(counts).sum(dim=1)


def _check_bits(bits: int, allowed: range) -> None:
    if bits not in allowed:
        raise ValueError(f"A grid must have {allowed.start} to {allowed.stop - 1} bits, but {bits} were asked")
