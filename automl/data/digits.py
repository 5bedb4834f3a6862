"""Handwritten digits: 1,797 grey images of 8x8 pixels in ten classes, embedded in scikit-learn."""

import numpy as np
import torch
from sklearn.datasets import load_digits

from automl.data.augmentation import turned_and_shifted
from automl.data.memory_images import MemoryImages
from automl.data.pixels import content_digest
from automl.data.source import Normalisation, Request, Source

NATURAL_SIZE = 16
"""Pixels; twice the original, so that networks with three strides keep a map."""
_STATISTICS = Normalisation((0.305,), (0.319,))
_LEVELS = 16


def open_digits(request: Request) -> Source:
    """The digits, resized bilinearly."""
    bunch = load_digits()
    grey = np.asarray(bunch.images) * (255 / _LEVELS)
    pixels = torch.from_numpy(grey.round().astype(np.uint8))[:, None]  # [N, 1, 8, 8]
    labels = np.asarray(bunch.target, dtype=np.int64)
    size = request.size or NATURAL_SIZE
    return Source(
        images=MemoryImages(pixels, size, request.channels),
        labels=labels,
        classes=tuple(str(name) for name in bunch.target_names),
        in_test=None,
        size=size,
        normalisation=_STATISTICS.of_channels(request.channels),
        augmentation=turned_and_shifted(10, 0.1, fill=0),
        fingerprint=content_digest(pixels, labels),
    )
