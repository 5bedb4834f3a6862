"""Batches that are read many times: decoded once and held in memory where they fit."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.utils.data import Dataset

from automl.data.splits import batches

HELD_BYTES = 2 * 2**30
"""Sets up to this size stay in memory; a larger one is read again each time."""

Batches = Iterable[tuple[Tensor, Tensor]]


def held_batches(
    dataset: Dataset[tuple[Tensor, int]], images: int, image_values: int, batch_size: int, device: torch.device
) -> Batches:
    """Batches of `dataset` in its own order; held ones are channels last, in which CPUs answer up to twice as fast.

    Args:
        dataset: Yields (float32 image, label).
        images: Images in it.
        image_values: Values of one image.
        batch_size: Images per batch.
        device: Where held batches lie.
    """
    loader = batches(dataset, batch_size)
    if images * image_values * 4 > HELD_BYTES:
        return loader
    return [(inputs.to(device, memory_format=torch.channels_last), labels.to(device)) for inputs, labels in loader]
