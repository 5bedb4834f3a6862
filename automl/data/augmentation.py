"""Random views of one image, uint8 or float32 `[C, H, W]`; all draw from torch's global generator."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor
from torchvision.transforms.v2 import (  # type: ignore[attr-defined]
    Compose,
    InterpolationMode,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
)

Augmentation = Callable[[Tensor], Tensor]
"""Maps one image to a random view `[C, size, size]` of it."""


def turned_and_shifted(degrees: float, shift: float, fill: int) -> Augmentation:
    """Turns by up to `degrees` and moves by up to `shift` of the side; what comes into view has the value `fill`."""
    affine: Augmentation = RandomAffine(
        (-degrees, degrees), (shift, shift), interpolation=InterpolationMode.BILINEAR, fill=fill
    )
    return affine


def padded_crop(size: int, padding_mode: Literal["constant", "reflect"] = "constant") -> Augmentation:
    """Moves by up to an eighth of the side: four pixels at 32 px, as He et al. 2016 train."""
    crop: Augmentation = RandomCrop(size, padding=max(1, size // 8), padding_mode=padding_mode)
    return crop


def padded_crop_and_flip(size: int) -> Augmentation:
    """`padded_crop`, mirrored half of the time."""
    both: Augmentation = Compose([padded_crop(size), RandomHorizontalFlip()])
    return both


def photo_crop_and_flip(size: int) -> Augmentation:
    """A crop of at least half the area, resized to `size`, mirrored half of the time."""
    both: Augmentation = Compose([RandomResizedCrop(size, scale=(0.5, 1.0)), RandomHorizontalFlip()])
    return both
