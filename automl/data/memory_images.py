"""Images that lie decoded in memory."""

from collections.abc import Sequence

import torch
from torch import Tensor

from automl.data.pixels import as_channels, stretched

_RESIZED_BYTES = 2**30
_CHUNK = 1024


class MemoryImages:
    """Square images of one size; resized once where the result is small, else each time.

    Args:
        pixels: `[N, C, H, W]`, uint8 or float32.
        size: Height and width in pixels of what is given out.
        channels: 1 or 3.
    """

    def __init__(self, pixels: Tensor, size: int, channels: int) -> None:
        self._size, self._channels = size, channels
        resized_bytes = len(pixels) * channels * size * size * pixels.element_size()
        self._ready = resized_bytes <= _RESIZED_BYTES
        self._pixels = torch.cat([self._fit(part) for part in torch.split(pixels, _CHUNK)]) if self._ready else pixels

    def __len__(self) -> int:
        """Number of images."""
        return len(self._pixels)

    def __getitem__(self, index: int) -> Tensor:
        """One image, `[channels, size, size]`."""
        image = self._pixels[index]
        return image if self._ready else self._fit(image)

    def unreadable(self, indices: Sequence[int]) -> dict[int, str]:
        """None of them: they are decoded."""
        del indices
        return {}

    def _fit(self, pixels: Tensor) -> Tensor:
        return stretched(as_channels(pixels, self._channels), self._size)
