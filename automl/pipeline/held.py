"""Splits as batches for measuring, in memory where they fit."""

from automl.data.dataset import ImageDataset
from automl.evaluate.held import Batches, held_batches
from automl.pipeline.subject import Subject

_BATCH = 128


def held(subject: Subject, dataset: ImageDataset) -> Batches:
    """Batches of one split of the subject's data."""
    channels, height, width = subject.splits.input_shape
    return held_batches(dataset, len(dataset), channels * height * width, _BATCH, subject.device)
