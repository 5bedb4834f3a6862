"""torchvision's data sets, from a folder where they already lie; nothing is downloaded."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets

from automl.core.errors import DataError
from automl.data.augmentation import padded_crop_and_flip, photo_crop_and_flip
from automl.data.file_images import FileImages
from automl.data.image_folder import NATURAL_SIZE
from automl.data.memory_images import MemoryImages
from automl.data.pixels import content_digest
from automl.data.source import IMAGENET, Normalisation, Request, Source

DEFAULT_ROOT = "data"
"""Folder that holds the files where `?root=` does not say."""


@dataclass(frozen=True, slots=True)
class SmallSet:
    """A data set that torchvision reads into memory."""

    open: Callable[..., Any]
    """The torchvision class."""
    size: int
    """Height and width in pixels."""
    normalisation: Normalisation


SMALL_SETS = {
    "CIFAR10": SmallSet(datasets.CIFAR10, 32, Normalisation((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))),
    "CIFAR100": SmallSet(datasets.CIFAR100, 32, Normalisation((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))),
    "FashionMNIST": SmallSet(datasets.FashionMNIST, 28, Normalisation((0.2860,), (0.3530,))),
}
"""By torchvision's name; ImageNet is read from its files instead."""
NAMES = (*SMALL_SETS, "ImageNet")


def open_torchvision(name: str, root: str, request: Request) -> Source:
    """Opens one of `NAMES` under `root`, with the test set that its authors made (ImageNet: the validation set).

    Raises:
        DataError: If the name is unknown, or the files are not there.
    """
    if name not in NAMES:
        close = difflib.get_close_matches(name.lower(), [known.lower() for known in NAMES], n=1)
        near = [known for known in NAMES if known.lower() in close] or list(NAMES)
        raise DataError(f"torchvision:{name} is not supported. Did you mean torchvision:{near[0]}?")
    return _open_imagenet(root, request) if name == "ImageNet" else _open_small(name, root, request)


def _open_small(name: str, root: str, request: Request) -> Source:
    entry = SMALL_SETS[name]
    train, test = _on_disk(name, root, lambda: (entry.open(root, train=True), entry.open(root, train=False)))
    pixels = torch.cat([_pixels(train.data), _pixels(test.data)])
    labels = np.concatenate([np.asarray(train.targets), np.asarray(test.targets)]).astype(np.int64)
    size = request.size or entry.size
    return Source(
        images=MemoryImages(pixels, size, request.channels),
        labels=labels,
        classes=tuple(train.classes),
        in_test=np.arange(len(labels)) >= len(train),
        size=size,
        normalisation=entry.normalisation.of_channels(request.channels),
        augmentation=padded_crop_and_flip(size),
        fingerprint=content_digest(pixels, labels),
    )


def _open_imagenet(root: str, request: Request) -> Source:
    train, test = _on_disk(
        "ImageNet", root, lambda: (datasets.ImageNet(root, split="train"), datasets.ImageNet(root, split="val"))
    )
    samples = [*train.samples, *test.samples]
    size = request.size or NATURAL_SIZE
    images = FileImages([Path(path) for path, _ in samples], size, request.channels, scan=False)
    return Source(
        images=images,
        labels=np.asarray([label for _, label in samples], dtype=np.int64),
        classes=tuple(names[0] for names in train.classes),
        in_test=np.arange(len(samples)) >= len(train.samples),
        size=size,
        normalisation=IMAGENET.of_channels(request.channels),
        augmentation=photo_crop_and_flip(size),
        fingerprint=f"ImageNet {len(train.samples)} {len(test.samples)}",
    )


def _on_disk(name: str, root: str, open_parts: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any]:
    try:
        return open_parts()
    except (RuntimeError, OSError) as error:
        get = (
            "Get the ILSVRC2012 archives from image-net.org and put them there."
            if name == "ImageNet"
            else f'Get it once with `python -c "from torchvision.datasets import {name}; '
            f'{name}({root!r}, download=True)"`.'
        )
        raise DataError(
            f"torchvision:{name} must lie in {root!r}, but it does not: {str(error).splitlines()[0]} "
            f"{get} `?root=DIR` names another folder."
        ) from error


def _pixels(data: Any) -> Tensor:
    """uint8 `[N, C, H, W]` of torchvision's `[N, H, W, 3]` arrays or `[N, H, W]` tensors."""
    pixels = torch.as_tensor(data)
    return pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()
