"""Crops of the photos that scikit-learn and scikit-image ship: real pictures without a download, and without labels.

No photo gives crops to both the training and the test set: two crops of one photo share pixels.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torchvision.transforms.v2 import (  # type: ignore[attr-defined]
    Compose,
    RandomHorizontalFlip,
    RandomResizedCrop,
)

TRAIN = (
    "sklearn/datasets/images/china.jpg",
    "skimage/data/astronaut.png",
    "skimage/data/clock_motion.png",
    "skimage/data/coffee.png",
    "skimage/data/coins.png",
    "skimage/data/gravel.png",
    "skimage/data/hubble_deep_field.jpg",
    "skimage/data/ihc.png",
    "skimage/data/moon.png",
    "skimage/data/motorcycle_left.png",
    "skimage/data/retina.jpg",
    "skimage/data/rocket.jpg",
)
"""Photos of the training crops, within the installed packages."""
TEST = (
    "sklearn/datasets/images/flower.jpg",
    "skimage/data/brick.png",
    "skimage/data/camera.png",
    "skimage/data/chelsea.png",
    "skimage/data/grass.png",
    "skimage/data/page.png",
)
"""Photos of the test crops."""
SIZE = 224
"""Height and width of a crop in pixels, before the network's own input size."""
TRAIN_CROPS, TEST_CROPS = 960, 384
_AREA = (0.1, 0.6)
_UNLABELLED = -1

Crops = list[tuple[Image.Image, int]]


def crops() -> tuple[Crops, Crops]:
    """Training and test crops, the same ones every time: a data factory, as `--data benchmarks.photos:crops` takes it.

    Raises:
        FileNotFoundError: If scikit-image is not installed, or has moved its photos.
    """
    return cut(TRAIN, TRAIN_CROPS, seed=0), cut(TEST, TEST_CROPS, seed=1)


def cut(photos: Sequence[str], count: int, *, seed: int) -> Crops:
    """`count` random crops, as many of each photo, each with the label that says there is none."""
    pictures = [Image.open(located(name)).convert("RGB") for name in photos]
    view = Compose([RandomResizedCrop(SIZE, scale=_AREA), RandomHorizontalFlip()])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return [(view(pictures[index % len(pictures)]), _UNLABELLED) for index in range(count)]


def located(photo: str) -> Path:
    """The file of one photo; the packages' own loaders would download what is not there."""
    package, _, rest = photo.partition("/")
    found = importlib.util.find_spec(package)
    path = Path(next(iter(found.submodule_search_locations or []), "")) / rest if found is not None else Path(rest)
    if not path.is_file():
        raise FileNotFoundError(f"The photo {photo} comes with the extra `bench`: pip install -e '.[bench]'")
    return path
