from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WriteImages = Callable[[Path, int], list[Path]]


@pytest.fixture
def write_images() -> WriteImages:
    """Writes so many JPEG photographs of 40 x 30 pixels, each another grey, into a folder that it makes."""

    def write(folder: Path, count: int) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{index:04}.jpg" for index in range(count)]
        for index, path in enumerate(paths):
            grey = np.full((30, 40, 3), 5 * (index % 50), dtype=np.uint8)
            Image.fromarray(grey).save(path)
        return paths

    return write
