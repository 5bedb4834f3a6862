"""The user's own data set: a function that returns a training set and perhaps a test set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from automl.core.errors import DataError
from automl.core.user_code import resolve
from automl.data.augmentation import padded_crop
from automl.data.memory_images import MemoryImages
from automl.data.pixels import as_channels, content_digest, fitted, of_pil
from automl.data.source import IMAGENET, Normalisation, Request, Source

_MOST_BYTES = 4 * 2**30
_CONTRACT = (
    "A data factory takes no arguments and returns (train, test), where test may be None and each is a data set "
    "with len() whose items are (image, label): a PIL image, a uint8 array HxW or HxWxC, or a CHW tensor."
)


def open_factory(spec: str, request: Request) -> Source:
    """Reads every image of the data sets that `pkg.mod:factory` returns, once, into memory.

    PIL images, arrays and uint8 tensors are normalised as ImageNet's are; float tensors are taken as they come.
    Class names come from the training set's `classes`, where it has that. A label of -1 or None is no label.

    Raises:
        DataError: If the factory cannot be imported, fails, or returns something else.
    """
    train, test = _call(spec)
    parts = [train] if test is None else [train, test]
    chosen = _chosen([len(part) for part in parts], request)
    try:
        size = request.size or _shorter_side(train)
        _check_memory(sum(len(indices) for indices in chosen), size, request.channels)
        read = [
            _read(part, index, size, request.channels)
            for part, indices in zip(parts, chosen, strict=True)
            for index in indices
        ]
        pixels = torch.stack([image for image, _ in read])
    except DataError:
        raise
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise DataError(
            f"The data sets of {spec!r} must give their items, but reading raised {type(error).__name__}: {error}. "
            f"{_CONTRACT}"
        ) from error
    labels = np.asarray([label for _, label in read], dtype=np.int64)
    is_float = pixels.is_floating_point()
    return Source(
        images=MemoryImages(pixels, size, request.channels),
        labels=labels,
        classes=_classes(spec, train, labels),
        in_test=None if test is None else np.arange(len(labels)) >= len(chosen[0]),
        size=size,
        normalisation=(Normalisation((0.0,), (1.0,)) if is_float else IMAGENET).of_channels(request.channels),
        augmentation=padded_crop(size, "reflect"),
        fingerprint=content_digest(pixels, labels),
    )


def _call(spec: str) -> tuple[Any, Any]:
    try:
        returned = resolve(spec)()
    except (Exception, SystemExit) as error:  # importing and calling run the user's code
        raise DataError(
            f"A data factory must be importable and callable, but {spec!r} raised {type(error).__name__}: {error}. "
            f"Modules are looked up in {Path.cwd()} and in the environment. {_CONTRACT}"
        ) from error
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise DataError(f"{spec!r} returned {type(returned).__name__} instead of a pair. {_CONTRACT}")
    for part in returned:
        if part is not None and not (hasattr(part, "__len__") and hasattr(part, "__getitem__")):
            raise DataError(f"{spec!r} returned a {type(part).__name__} without len() or items. {_CONTRACT}")
    train, test = returned
    if train is None or not len(train) or (test is not None and not len(test)):
        raise DataError(f"{spec!r} returned an empty data set. {_CONTRACT}")
    return train, test


def _chosen(lengths: Sequence[int], request: Request) -> list[list[int]]:
    """Which items of each part to read."""
    total = sum(lengths)
    kept = np.arange(total)
    if request.limit is not None and request.limit < total:
        kept = np.sort(np.random.default_rng(request.seed).choice(total, request.limit, replace=False))
    starts = np.cumsum([0, *lengths])
    return [
        [int(index - start) for index in kept if start <= index < start + length]
        for start, length in zip(starts, lengths, strict=False)
    ]


def _read(part: Any, index: int, size: int, channels: int) -> tuple[Tensor, int]:
    item = part[index]
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise DataError(f"Item {index} is a {type(item).__name__} instead of (image, label). {_CONTRACT}")
    image = fitted(as_channels(_tensor(item[0]), channels), size)
    return image, -1 if item[1] is None else int(item[1])


def _tensor(image: object) -> Tensor:
    """uint8 or float32, `[C, H, W]` with 1 or 3 channels."""
    if isinstance(image, Image.Image):
        tensor = of_pil(image)
    elif isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim in {2, 3}:
        tensor = torch.from_numpy(np.atleast_3d(image)).permute(2, 0, 1)
    elif isinstance(image, Tensor):
        tensor = image.detach().cpu()
    else:
        kind = f"{image.dtype} array" if isinstance(image, np.ndarray) else type(image).__name__
        raise DataError(f"An image must not be a {kind}. {_CONTRACT}")
    if tensor.ndim != 3 or tensor.shape[0] not in {1, 3}:
        raise DataError(f"An image must have 1 or 3 channels, but its shape is {tuple(tensor.shape)}. {_CONTRACT}")
    return tensor if tensor.dtype == torch.uint8 else tensor.float()


def _shorter_side(train: Any) -> int:
    image, _ = train[0]
    return min(_tensor(image).shape[-2:])


def _check_memory(images: int, size: int, channels: int) -> None:
    size_bytes = images * channels * size * size
    if size_bytes > _MOST_BYTES:
        raise DataError(
            f"A factory's images must fit in {_MOST_BYTES / 1e9:.1f} GB, but {images} of {size} px take "
            f"{size_bytes / 1e9:.1f} GB. Give --limit or a smaller --input-size, or use imagefolder:DIR."
        )


def _classes(spec: str, train: Any, labels: NDArray[np.int64]) -> tuple[str, ...]:
    if bool((labels == -1).all()):
        return ()
    names = tuple(str(name) for name in getattr(train, "classes", ()))
    names = names or tuple(str(label) for label in range(int(labels.max()) + 1))
    if labels.min() < 0 or labels.max() >= len(names):
        raise DataError(
            f"Labels must be 0 to {len(names) - 1}, one per class, but {spec!r} gives {labels.min()} to "
            f"{labels.max()}. Number the classes from 0, or label nothing at all."
        )
    return names
