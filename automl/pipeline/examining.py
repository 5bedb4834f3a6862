"""How accurate a finished network is: the trained baseline, or an exported file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from automl.core.errors import DataError, InputError
from automl.data.dataset import ImageDataset
from automl.data.splits import Splits, load_splits
from automl.evaluate.interval import wilson95
from automl.evaluate.measure import Measurement, answers, compare
from automl.export.recount import OnnxCost, recount
from automl.export.session import OnnxClassifier, score
from automl.pipeline.held import held
from automl.pipeline.subject import Subject

SplitName = Literal["test", "selection", "search"]


@dataclass(frozen=True, slots=True)
class BaselineAccuracy:
    """A dense network on images that it was not trained on."""

    selection: Measurement
    """On the split that chose its best epoch."""
    test: Measurement
    """On the test split, which nothing else has read."""


@dataclass(frozen=True, slots=True)
class FileAccuracy:
    """An exported file on one split."""

    images: int
    """Images in the split."""
    accuracy: float
    """Share of right answers, in [0, 1]."""
    accuracy_ci95: tuple[float, float]
    """Wilson interval of `accuracy`."""
    cost: OnnxCost
    """Counted from the file."""


def examine_baseline(subject: Subject) -> BaselineAccuracy:
    """Measures the subject's network on the selection split and, once, on the test split.

    Raises:
        DataError: If the images have no labels.
    """
    _check_labelled(subject.splits)
    return BaselineAccuracy(
        selection=_measured(subject, subject.splits.selection),
        test=_measured(subject, subject.splits.test),
    )


def examine_file(path: Path, data: str, *, split: SplitName, seed: int, limit: int | None) -> FileAccuracy:
    """Runs an ONNX file over one split of a data set, at the size that the file reads.

    Args:
        path: An ONNX classifier.
        data: Data spec.
        split: Which images.
        seed: Of the splits; the one of the run that made the file, or else its training images are among these.
        limit: At most so many images of the data set; None for all.

    Raises:
        InputError: If the file or the data cannot be read, or they do not fit each other.
    """
    classifier = OnnxClassifier(path, threads=torch.get_num_threads())
    channels, height, width = classifier.input_shape
    if height != width:
        raise InputError(
            f"Data sets have square images, but {path} reads {height}x{width} ones. Export it at a square size."
        )
    splits = load_splits(data, seed=seed, input_size=height, channels=channels, limit=limit)
    _check_labelled(splits)
    if len(splits.classes) != classifier.classes:
        raise InputError(
            f"File and data must have the same classes, but {path} tells {classifier.classes} apart and {data!r} has "
            f"{len(splits.classes)}. Give the data set that the network was trained on."
        )
    images = {"test": splits.test, "selection": splits.selection, "search": splits.search}[split]
    result = score(classifier, images)
    return FileAccuracy(result.images, result.accuracy, wilson95(result.right, result.images), recount(path))


def _measured(subject: Subject, images: ImageDataset) -> Measurement:
    given = answers(subject.model, held(subject, images), subject.device)
    return compare(given, given)


def _check_labelled(splits: Splits) -> None:
    if not splits.labelled:
        raise DataError(
            f"Accuracy needs labels, but the images of {splits.name!r} have none. Sort them into a folder per class; "
            "`automl search` can do without, by agreement with a trained network."
        )
