"""A folder of images: one subfolder per class, such folders under train/ and val/ or test/, or images alone."""

import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torchvision.datasets.folder import IMG_EXTENSIONS

from automl.core.errors import DataError
from automl.core.paths import at_home
from automl.data.augmentation import photo_crop_and_flip
from automl.data.file_images import FileImages
from automl.data.source import IMAGENET, Request, Source

NATURAL_SIZE = 224
"""Pixels; what ImageNet's networks were trained at."""
_TRAIN = "train"
_HELD_OUT = ("test", "val", "valid", "validation")
_LAYOUT = "Put the images into DIR/CLASS/*.jpg, DIR/train/CLASS and DIR/val/CLASS, or all into DIR without labels."
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Listing:
    """The images under one folder."""

    paths: tuple[Path, ...]
    classes: tuple[str, ...]
    """Empty where the folder has no class subfolders."""
    labels: tuple[int, ...]


def open_image_folder(directory: str, request: Request) -> Source:
    """Lists a folder of images; nothing is decoded yet.

    Where there are `train/` and `test/` (or `val/`), the latter is the test set; with both, `val/` joins `train/`.

    Raises:
        DataError: If the folder is missing or empty, has one class only, or its parts have different classes.
    """
    root = at_home(directory)
    if not root.is_dir():
        raise DataError(f"imagefolder: needs a folder, but {directory!r} is not one. {_LAYOUT}")
    pool, held_out = _parts(root)
    listing = _joined([*pool, *held_out])
    held_out_images = sum(len(part.paths) for part in held_out)
    in_test = np.arange(len(listing.paths)) >= len(listing.paths) - held_out_images
    size = request.size or NATURAL_SIZE
    return Source(
        images=FileImages(listing.paths, size, request.channels),
        labels=np.asarray(listing.labels, dtype=np.int64),
        classes=listing.classes,
        in_test=in_test if held_out else None,
        size=size,
        normalisation=IMAGENET.of_channels(request.channels),
        augmentation=photo_crop_and_flip(size),
        fingerprint=_fingerprint(root, listing),
    )


def _parts(root: Path) -> tuple[list[_Listing], list[_Listing]]:
    """The folders to learn from, and those of the test set."""
    held_out = [root / name for name in _HELD_OUT if (root / name).is_dir()]
    if not (root / _TRAIN).is_dir() or not held_out:
        return [_list(root)], []
    test, *others = held_out
    if others:
        _log.info("%s joins the training images; %s is the test set", others[0], test)
    return [_list(root / _TRAIN), *(_list(other) for other in others)], [_list(test)]


def _list(folder: Path) -> _Listing:
    loose = _images_in(folder, recursive=False)
    subfolders = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._")
    if not subfolders:
        if not loose:
            raise DataError(f"A data folder must hold images, but {str(folder)!r} is empty. {_LAYOUT}")
        return _Listing(tuple(loose), (), (-1,) * len(loose))
    if loose:
        _log.warning("%d images beside the class folders of %s are left out", len(loose), folder)
    files = {path.name: _images_in(path, recursive=True) for path in subfolders}
    empty = [name for name, found in files.items() if not found]
    if empty:
        raise DataError(
            f"Every class folder must hold images, but {str(folder / empty[0])!r} has none "
            f"({len(empty)} of {len(files)} folders). Fill or remove it. {_LAYOUT}"
        )
    if len(files) == 1:
        raise DataError(
            f"A data folder must have two classes or more, but {str(folder)!r} has one, {subfolders[0].name!r}. "
            f"Add another, or give {str(subfolders[0])!r} itself to go without labels."
        )
    labels = tuple(label for label, found in enumerate(files.values()) for _ in found)
    return _Listing(tuple(path for found in files.values() for path in found), tuple(files), labels)


def _images_in(folder: Path, *, recursive: bool) -> list[Path]:
    found, seen = [], {str(folder.resolve())}
    for parent, folders, names in os.walk(folder, followlinks=True):
        # A link may lead back to where the walk has been.
        places = {name: str(Path(parent, name).resolve()) for name in sorted(folders)}
        folders[:] = [name for name, place in places.items() if place not in seen]
        seen.update(places.values())
        found += [Path(parent, name) for name in sorted(names) if name.lower().endswith(IMG_EXTENSIONS)]
        if not recursive:
            break
    return [path for path in found if not path.name.startswith(".")]


def _joined(parts: Sequence[_Listing]) -> _Listing:
    classes = parts[0].classes
    for part in parts[1:]:
        unknown = sorted(set(part.classes) ^ set(classes))
        if unknown:
            raise DataError(
                f"train/ and its test set must have the same classes, but {unknown[0]!r} is in one of them only "
                f"({len(unknown)} such). Add or remove that folder."
            )
    return _Listing(
        tuple(path for part in parts for path in part.paths),
        classes,
        tuple(label for part in parts for label in part.labels),
    )


def _fingerprint(root: Path, listing: _Listing) -> str:
    digest = hashlib.sha256()
    for path, label in zip(listing.paths, listing.labels, strict=True):
        digest.update(f"{path.relative_to(root).as_posix()} {path.stat().st_size} {label}\n".encode())
    return digest.hexdigest()
