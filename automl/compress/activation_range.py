"""Where the values of one activation lie, and the grid that serves them best."""

from typing import Literal

import torch
from torch import Tensor

from automl.compress.grid import Grid, activation_grid
from automl.core.errors import DataError

Reach = Literal["max", "percentile", "mse"]
"""How far a grid reaches: to the extremes, to all but one value in ten thousand, or where the square error is least."""

_SAMPLED_PER_BATCH = 2**18
_BINS = 2**11
"""Of the histogram that stands for the sample: eight for each level of the finest grid."""
_OUTSIDE = 1e-4
_SHARES = torch.linspace(1.0, 0.1, 37)
"""Of either end: the reaches that `mse` chooses from."""


class ActivationRange:
    """The extremes of a tensor over all batches, and a sample of its values."""

    def __init__(self, name: str) -> None:
        """Nothing seen yet; `name` is what errors call the tensor."""
        self._name = name
        self._samples: list[Tensor] = []
        self._lowest, self._highest = 0.0, 0.0

    def see(self, values: Tensor) -> None:
        """Takes note of one batch.

        Raises:
            DataError: If a value is NaN or infinite.
        """
        channels_last = values.ndim == 4 and not values.is_contiguous()
        flat = (values.detach().permute(0, 2, 3, 1) if channels_last else values.detach()).reshape(-1)
        lowest, highest = (float(end) for end in flat.aminmax())
        if not (torch.isfinite(torch.tensor([lowest, highest]))).all():
            raise DataError(
                f"Activations must be finite, but {self._name!r} has values from {lowest} to {highest} on the "
                "calibration images. Check the images, and that they are scaled as the network expects."
            )
        self._lowest, self._highest = min(self._lowest, lowest), max(self._highest, highest)
        # Every so many values, by a step that no map's width divides.
        # A copy: a rectifier or an addition behind it may write the tensor, which need not stay for the sample's sake.
        self._samples.append(flat[:: len(flat) // _SAMPLED_PER_BATCH | 1].cpu().float().clone())

    @property
    def silent(self) -> bool:
        """Whether every value was 0."""
        return self._lowest == self._highest == 0.0

    def grid(self, bits: int, reach: Reach = "mse") -> Grid:
        """The grid for what has been seen; one that is always 0 gets a grid that holds 0.

        Args:
            bits: 4 to 8.
            reach: Where it ends.
        """
        if reach == "max" or self.silent:
            return activation_grid(self._lowest, self._highest, bits)
        sample = torch.cat(self._samples)
        if reach == "percentile":
            ends = torch.quantile(sample, torch.tensor([_OUTSIDE, 1 - _OUTSIDE]))
            return activation_grid(float(ends[0]), float(ends[1]), bits)
        return self._nearest(sample, bits)

    def _nearest(self, sample: Tensor, bits: int) -> Grid:
        """The grid of least square error: both ends at one share of the extremes, then each end by itself."""
        counts = torch.histc(sample, _BINS, self._lowest, self._highest)
        width = (self._highest - self._lowest) / _BINS
        values = self._lowest + width * (torch.arange(_BINS) + 0.5)
        histogram = values[counts > 0], counts[counts > 0]
        lowest, highest = torch.tensor(self._lowest), torch.tensor(self._highest)
        best = _least_error(histogram, lowest * _SHARES, highest * _SHARES, bits)
        down = up = _SHARES[best]
        if self._lowest < 0:
            down = _SHARES[_least_error(histogram, lowest * _SHARES, (highest * up).expand_as(_SHARES), bits)]
        if self._highest > 0:
            up = _SHARES[_least_error(histogram, (lowest * down).expand_as(_SHARES), highest * _SHARES, bits)]
        return activation_grid(float(lowest * down), float(highest * up), bits)


def _least_error(histogram: tuple[Tensor, Tensor], lowest: Tensor, highest: Tensor, bits: int) -> int:
    """Which of several grids has the least square error; of equally good ones the first, which is the widest.

    Args:
        histogram: Values and how often they occur, shape `(bins,)` each.
        lowest: Where each grid begins, shape `(grids,)`, 0 or below.
        highest: Where each ends, shape `(grids,)`, 0 or above.
        bits: Of all grids.
    """
    values, counts = histogram
    high = 2**bits - 1
    scale = ((highest - lowest) / high)[:, None]
    zero_point = (-lowest[:, None] / scale).round()
    steps = (values / scale).round_()
    rounded = torch.minimum(torch.maximum(steps, -zero_point), high - zero_point).mul_(scale)
    return int((rounded.sub_(values).square_() @ counts).argmin())
