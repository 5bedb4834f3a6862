"""Where the values of one activation lie, and the grid that serves them best."""

from typing import Literal

import torch
from torch import Tensor

from automl.compress.grid import Grid, activation_grid
from automl.core.errors import DataError

Reach = Literal["max", "percentile", "mse"]
"""How far a grid reaches: to the extremes, to all but one value in ten thousand, or where the square error is least."""

_SAMPLED_PER_BATCH = 2**13
_OUTSIDE = 1e-4
_SHARES = torch.linspace(0.1, 1.0, 37)
"""Of either end: the reaches that `mse` chooses from."""


class ActivationRange:
    """The extremes of a tensor over all batches, and a sample of its values."""

    def __init__(self, name: str, seed: int = 0) -> None:
        """Nothing seen yet.

        Args:
            name: What errors call the tensor.
            seed: Of the sample.
        """
        self._name = name
        self._generator = torch.Generator().manual_seed(seed)
        self._samples: list[Tensor] = []
        self._lowest, self._highest = 0.0, 0.0

    def see(self, values: Tensor) -> None:
        """Takes note of one batch.

        Raises:
            DataError: If a value is NaN or infinite.
        """
        flat = values.detach().reshape(-1)
        lowest, highest = (float(end) for end in flat.aminmax())
        if not (torch.isfinite(torch.tensor([lowest, highest]))).all():
            raise DataError(
                f"Activations must be finite, but {self._name!r} has values from {lowest} to {highest} on the "
                "calibration images. Check the images, and that they are scaled as the network expects."
            )
        self._lowest, self._highest = min(self._lowest, lowest), max(self._highest, highest)
        chosen = torch.randint(len(flat), (min(_SAMPLED_PER_BATCH, len(flat)),), generator=self._generator)
        self._samples.append(flat[chosen.to(flat.device)].cpu().float())

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
        return min(self._candidates(bits), key=lambda grid: float((grid.rounded(sample) - sample).square().sum()))

    def _candidates(self, bits: int) -> list[Grid]:
        """Grids with either end nearer; of equally good ones `min` takes the widest, which comes first."""
        shares = _SHARES.flip(0).tolist()
        down = shares if self._lowest < 0 else [1.0]
        up = shares if self._highest > 0 else [1.0]
        return [activation_grid(self._lowest * one, self._highest * other, bits) for one in down for other in up]
