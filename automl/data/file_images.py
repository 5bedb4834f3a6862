"""Images that lie in files, kept in memory once decoded, as far as memory allows."""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from automl.core.errors import DataError
from automl.data.pixels import eight_bit

_log = logging.getLogger(__name__)
_CACHE_BYTES = 2 * 2**30
_MARGIN = 8 / 7
_MAX_ASPECT = 2.0
_PROGRESS_EVERY = 10_000


class FileImages:
    """Images resized so that the shorter side is 8/7 of the size asked for, as ImageNet's nets are tested.

    Args:
        paths: One file per image.
        size: Height and width in pixels of the crops that will be taken.
        channels: 1 or 3.
        scan: Whether `unreadable` decodes every file; False trusts them, for data sets known to be whole.
    """

    def __init__(self, paths: Sequence[Path], size: int, channels: int, *, scan: bool = True) -> None:
        self._paths = tuple(paths)
        self._short_side = round(size * _MARGIN)
        self._mode = "L" if channels == 1 else "RGB"
        self._scan = scan
        self._cache: dict[int, Tensor] = {}
        self._cached_bytes = 0

    def __len__(self) -> int:
        """Number of images."""
        return len(self._paths)

    def __getitem__(self, index: int) -> Tensor:
        """One image, uint8 `[channels, H, W]`, shorter side 8/7 of the size.

        Raises:
            DataError: If the file cannot be decoded (any more).
        """
        cached = self._cache.get(index)
        if cached is not None:
            return cached
        try:
            image = self._decode(self._paths[index])
        except Exception as error:
            raise DataError(
                f"An image must stay readable while it is in use, but {str(self._paths[index])!r} is not: {error}. "
                "Put it back, or remove it and start again."
            ) from error
        if self._cached_bytes + image.nbytes <= _CACHE_BYTES:
            self._cache[index] = image
            self._cached_bytes += image.nbytes
        return image

    def unreadable(self, indices: Sequence[int]) -> dict[int, str]:
        """Which of `indices` cannot be decoded, with the file and the reason; what can stays in memory."""
        if not self._scan:
            return {}
        found = {}
        # PIL decodes without holding the interpreter lock.
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            for count, (index, reason) in enumerate(zip(indices, pool.map(self._why_unreadable, indices), strict=True)):
                if reason is not None:
                    found[index] = reason
                if count and count % _PROGRESS_EVERY == 0:
                    _log.info("checked %d of %d images", count, len(indices))
        return found

    def _why_unreadable(self, index: int) -> str | None:
        try:
            self[index]
        except DataError as error:
            return f"{self._paths[index]} ({error.__cause__})"
        return None

    def _decode(self, path: Path) -> Tensor:
        with Image.open(path) as file:
            file.draft(self._mode, (self._short_side, self._short_side))  # a JPEG is decoded at 1/2, 1/4 or 1/8
            image = _without_extremes(eight_bit(file).convert(self._mode))
        scale = self._short_side / min(image.size)
        width, height = (max(self._short_side, round(side * scale)) for side in image.size)
        pixels = np.array(image.resize((width, height), Image.Resampling.BILINEAR))
        return torch.from_numpy(pixels if pixels.ndim == 3 else pixels[..., None]).permute(2, 0, 1).contiguous()


def _without_extremes(image: Image.Image) -> Image.Image:
    """The middle of a panorama: resized whole it would take any amount of memory, and crops come from the middle."""
    width, height = image.size
    longest = int(min(width, height) * _MAX_ASPECT)
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    if not (left or top):
        return image
    return image.crop((left, top, width - left, height - top))
