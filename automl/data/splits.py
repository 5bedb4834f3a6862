"""Train, calibration, search, selection and test images, carved from one source."""

import hashlib
import json
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from automl.core.errors import DataError
from automl.core.limits import MOST_SIZE
from automl.data.dataset import ImageDataset
from automl.data.registry import open_source
from automl.data.source import Request, Source

_TEST_SHARE = 0.25
_SEARCH_SHARE = 0.15
_SELECTION_SHARE = 0.10
_MOST_SEARCH = 2048
_MOST_SELECTION = 5000
_MOST_CALIBRATION = 512
_MOST_CORRUPT = 0.01
_LEAST_SIZE = 8
_FIXED = 0
"""Seed of what no run decides, so that runs of two seeds can be compared image by image: which images a limit leaves,
and which are for the test."""
_Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Splits:
    """One data set, divided. No image is in two splits, but that calibration images are training images."""

    name: str
    """The data set as the user typed it."""
    classes: tuple[str, ...]
    """Class names by label; empty where the images have no labels."""
    input_shape: tuple[int, int, int]
    """(channels, height, width) of one image."""
    train: ImageDataset
    """Augmented from torch's global generator."""
    calibration: ImageDataset
    """At most 512 training images, not augmented; nothing reads their labels."""
    search: ImageDataset
    """At most 2048 images that trials are scored on."""
    selection: ImageDataset
    """At most 5000 images that choose among trials and checkpoints."""
    test: ImageDataset
    """For the last table only."""
    skipped: int
    """Corrupt images that were left out."""
    digest: str
    """SHA-256 of the data and of how they were divided, in hexadecimal."""
    test_digest: str
    """SHA-256 of the test images, in hexadecimal: equal for the same images in the same order, whatever their size, and
    however the others were divided."""

    @property
    def labelled(self) -> bool:
        """Whether there are labels to measure accuracy against."""
        return bool(self.classes)


def load_splits(
    spec: str, *, seed: int, input_size: int | None = None, channels: int = 3, limit: int | None = None
) -> Splits:
    """Opens a data set and divides it.

    The source's own test set is the test set; where it has none, a quarter of the images is, the same for every seed.
    Search and selection take 15% and 10% of the images (of the training images, where there is a test set), evenly over
    the classes.

    Args:
        spec: `digits`, `synthetic:clutter`, `imagefolder:DIR`, `torchvision:NAME?root=DIR` or `pkg.mod:factory`.
        seed: Decides which of the other images train, search and select.
        input_size: Height and width in pixels, 8 to 4,096; None for the source's natural size.
        channels: 1 or 3.
        limit: At most so many images in all, evenly over the classes, the same for every seed.

    Raises:
        DataError: If the data cannot be read, too many files are corrupt, or a split or class would be empty.
    """
    request = _checked(Request(input_size, channels, limit, seed))
    source = open_source(spec, request)
    if len(source.classes) == 1:
        raise DataError(f"A data set must have two classes or more, but {spec!r} has {source.classes[0]!r} only.")
    chosen = _limited(source, request)
    corrupt = _corrupt(source, chosen)
    chosen = np.setdiff1d(chosen, corrupt)
    train, search, selection, test = _carve(source, chosen, seed)
    _check_filled(source, {"training": train, "search": search, "selection": selection, "test": test})
    calibration = _generator(seed, 2).permutation(train)[:_MOST_CALIBRATION]
    return Splits(
        name=spec,
        classes=source.classes,
        input_shape=(channels, source.size, source.size),
        train=ImageDataset(source, train, augmented=True),
        calibration=ImageDataset(source, calibration, augmented=False),
        search=ImageDataset(source, search, augmented=False),
        selection=ImageDataset(source, selection, augmented=False),
        test=ImageDataset(source, test, augmented=False),
        skipped=len(corrupt),
        digest=_digest(source, request),
        test_digest=_test_digest(source, test),
    )


def batches(
    dataset: Dataset[tuple[Tensor, int]],
    batch_size: int,
    *,
    shuffle_seed: int | None = None,
    drop_last: bool = False,
) -> DataLoader[tuple[Tensor, int]]:
    """Batches of (images `[N, C, H, W]`, labels `[N]`).

    Args:
        dataset: One split.
        batch_size: Images per batch; the last batch may be smaller.
        shuffle_seed: Seeds a generator of the loader's own, so that every pass has a new order and the global
            generator is left alone; None keeps the order.
        drop_last: Whether a smaller last batch is left out, as batch norm wants while training.
    """
    # Even in order the loader draws a seed per pass; without a generator it would take it from the global one.
    generator = torch.Generator().manual_seed(shuffle_seed or 0)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        shuffle=shuffle_seed is not None,
        drop_last=drop_last,
        generator=generator,
    )


def _checked(request: Request) -> Request:
    if request.size is not None and not _LEAST_SIZE <= request.size <= MOST_SIZE:
        raise DataError(
            f"The input size must be {_LEAST_SIZE} px or more and at most {MOST_SIZE}, but got {request.size}."
        )
    if request.channels not in {1, 3}:
        raise DataError(
            f"Images have 1 or 3 channels, but the network reads {request.channels}. Give it a first layer for 1 or 3."
        )
    if request.limit is not None and request.limit < 1:
        raise DataError(f"The limit must be 1 image or more, but got {request.limit}. Leave it out for all images.")
    return request


def _limited(source: Source, request: Request) -> _Indices:
    everything = np.arange(len(source.labels))
    if request.limit is None or request.limit >= len(everything):
        return everything
    in_test = np.zeros(len(everything), dtype=bool) if source.in_test is None else source.in_test
    strata = source.labels + in_test * (len(source.classes) + 1)
    return np.sort(_spread(everything, strata, request.limit, _generator(_FIXED, 0)))


def _corrupt(source: Source, chosen: _Indices) -> _Indices:
    unreadable = source.images.unreadable(chosen.tolist())
    if len(unreadable) > _MOST_CORRUPT * len(chosen):
        shown = "; ".join(list(unreadable.values())[:3])
        raise DataError(
            f"At most {_MOST_CORRUPT:.0%} of the images may be corrupt, but {len(unreadable)} of {len(chosen)} are: "
            f"{shown}. Repair or remove them."
        )
    return np.asarray(sorted(unreadable), dtype=np.int64)


def _carve(source: Source, chosen: _Indices, seed: int) -> tuple[_Indices, _Indices, _Indices, _Indices]:
    """Train, search, selection and test images."""
    generator = _generator(seed, 1)
    if source.in_test is None:
        labels, count = source.labels[chosen], round(len(chosen) * _TEST_SHARE)
        test = _spread(chosen, labels, count, _generator(_FIXED, 1))
        _spread(chosen, labels, count, generator)  # what follows stays as it was when the run's own seed drew both
        pool = np.setdiff1d(chosen, test)
        whole = len(chosen)
    else:
        test, pool = chosen[source.in_test[chosen]], chosen[~source.in_test[chosen]]
        whole = len(pool)
    search = _spread(pool, source.labels[pool], min(_MOST_SEARCH, round(whole * _SEARCH_SHARE)), generator)
    pool = np.setdiff1d(pool, search)
    selected = min(_MOST_SELECTION, round(whole * _SELECTION_SHARE))
    selection = _spread(pool, source.labels[pool], selected, generator)
    return np.setdiff1d(pool, selection), search, selection, test


def _spread(indices: _Indices, strata: NDArray[np.int64], count: int, generator: np.random.Generator) -> _Indices:
    """Draws `count` of `indices`, each stratum in proportion to within one image, in random order.

    Systematic sampling (every k-th image of the list sorted by stratum) works for any number of classes;
    scikit-learn's stratified split refuses classes of one image and splits smaller than the number of classes.
    """
    shuffled = generator.permutation(len(indices))
    ordered = shuffled[np.argsort(strata[shuffled], kind="stable")]
    steps = (np.arange(count) + generator.random()) * (len(indices) / max(count, 1))
    drawn: _Indices = generator.permutation(indices[ordered[steps.astype(np.int64)]])
    return drawn


def _check_filled(source: Source, parts: dict[str, _Indices]) -> None:
    sizes = ", ".join(f"{len(indices)} {name}" for name, indices in parts.items())
    way_out = "Add images, or raise --limit if you gave one."
    if not all(len(indices) for indices in parts.values()):
        raise DataError(f"Every split must have an image, but there would be {sizes}. {way_out}")
    seen = set(source.labels[parts["training"]].tolist())
    unseen = [name for label, name in enumerate(source.classes) if label not in seen]
    if unseen:
        raise DataError(
            f"Every class must have training images, but {unseen[0]!r} has none left ({len(unseen)} such, of "
            f"{len(source.classes)}; splits: {sizes}). {way_out}"
        )


def _digest(source: Source, request: Request) -> str:
    facts = [source.fingerprint, source.classes, source.size, request.channels, request.limit, request.seed]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _test_digest(source: Source, test: _Indices) -> str:
    digest = hashlib.sha256(json.dumps([source.fingerprint, source.classes]).encode())
    digest.update(test.astype("<i8").tobytes())
    return digest.hexdigest()


def _generator(seed: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, purpose])
