"""One split: images of a source, normalised, and perhaps augmented."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from automl.data.pixels import middle
from automl.data.source import Source

_PREPARED_BYTES = 256 * 2**20


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """Items are (float32 `[C, size, size]`, label); the label is -1 where there is none.

    Args:
        source: Where the images are.
        indices: Which of them, by index in the source; shape `(images,)`.
        augmented: Whether each access draws a new view from torch's global generator; else the middle is taken.
    """

    def __init__(self, source: Source, indices: NDArray[np.int64], *, augmented: bool) -> None:
        self._images = source.images
        self._indices: list[int] = indices.tolist()
        self._labels: list[int] = source.labels[indices].tolist()
        self._augmentation = source.augmentation if augmented else None
        self._size = source.size
        self._mean = torch.tensor(source.normalisation.mean)[:, None, None]
        self._scale = 1 / torch.tensor(source.normalisation.std)[:, None, None]
        self._prepared: Tensor | None = None
        value_count = len(self._indices) * len(source.normalisation.mean) * source.size**2
        self._prepares = not augmented and value_count * 4 <= _PREPARED_BYTES

    def __len__(self) -> int:
        """Number of images."""
        return len(self._indices)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """One image and its label."""
        if not self._prepares:
            return self._view(index), self._labels[index]
        if self._prepared is None:
            self._prepared = torch.stack([self._view(position) for position in range(len(self))])
        return self._prepared[index], self._labels[index]

    @property
    def labels(self) -> tuple[int, ...]:
        """Every label, without opening an image."""
        return tuple(self._labels)

    def picture(self, index: int) -> Tensor:
        """One image for people's eyes: its middle, not normalised, uint8 `[C, size, size]`."""
        image = middle(self._images[self._indices[index]], self._size)
        if image.dtype == torch.uint8:
            return image
        low, high = image.min(), image.max()
        # Floats are what the user gave: in [0, 1], or anything, which is stretched to it.
        inside = bool(low >= 0) and bool(high <= 1)
        scaled = image if inside else (image - low) / (high - low).clamp(min=1e-12)
        return (scaled * 255).round().to(torch.uint8)

    def _view(self, index: int) -> Tensor:
        image = self._images[self._indices[index]]
        image = middle(image, self._size) if self._augmentation is None else self._augmentation(image)
        scaled = image.float() / 255 if image.dtype == torch.uint8 else image
        return (scaled - self._mean) * self._scale
