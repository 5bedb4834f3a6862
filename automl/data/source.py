"""A data set as it comes, before it is split: what every source returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from automl.data.augmentation import Augmentation


class Images(Protocol):
    """Images by index, decoded when asked for."""

    def __len__(self) -> int:
        """Number of images."""
        ...

    def __getitem__(self, index: int) -> Tensor:
        """One image, `[C, H, W]` with H and W at least the source's size: uint8, or float32 as the user gave it."""
        ...

    def unreadable(self, indices: Sequence[int]) -> dict[int, str]:
        """Which of `indices` cannot be decoded, with the file and the reason."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks of a source."""

    size: int | None
    """Height and width in pixels; None for the source's natural size."""
    channels: int
    """1 (luma) or 3; grey images are repeated."""
    limit: int | None
    """At most so many images, for a quick look; None for all."""
    seed: int
    """Of every random choice of images."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Per-channel mean and standard deviation of images scaled to [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def of_channels(self, channels: int) -> "Normalisation":
        """The same for 1 or 3 channels: averaged, or repeated."""
        if channels == len(self.mean):
            return self
        mean, std = sum(self.mean) / len(self.mean), sum(self.std) / len(self.std)
        return Normalisation((mean,) * channels, (std,) * channels)


IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Of ImageNet's training images; what published weights expect."""


@dataclass(frozen=True, slots=True)
class Source:
    """Every image of a data set, its label and what belongs to reading it."""

    images: Images
    labels: NDArray[np.int64]
    """Shape `(images,)`; -1 where there is none."""
    classes: tuple[str, ...]
    """Names by label; empty where there are no labels."""
    in_test: NDArray[np.bool_] | None
    """Shape `(images,)`: the images of the source's own test set; None where it has none."""
    size: int
    """Height and width in pixels of the images that leave the data set."""
    normalisation: Normalisation
    augmentation: Augmentation
    fingerprint: str
    """What identifies the data: equal for equal images and labels."""
