"""Textured letters among distractors: a procedural data set that a small network does not saturate."""

import math
import string

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Generator, Tensor
from torch.nn import functional

from automl.core.errors import DataError
from automl.data.augmentation import turned_and_shifted
from automl.data.memory_images import MemoryImages
from automl.data.pixels import content_digest
from automl.data.source import Normalisation, Request, Source

NATURAL_SIZE = 32
"""Pixels."""
IMAGES = 10_000
"""Images where `?images=` does not say; the last fifth is the test set."""
CLASSES = tuple(letter for letter in string.ascii_uppercase if letter not in "IO")
"""I and O are left out: a stroke and a blob of the background look like them."""
_LEAST_IMAGES = 500
_DIFFICULTY = 1.0
"""Scales noise and distractors up, contrast down; at 1 a CIFAR ResNet-20 ends at 91% (12 epochs, one cycle)."""
_SEED = 20_260
_CHUNK = 1000
_GLYPH = 48
_STATISTICS = Normalisation((0.5, 0.5, 0.5), (0.22, 0.22, 0.22))


def open_clutter(images: int, request: Request) -> Source:
    """Draws the data set; always the same images for the same count.

    Raises:
        DataError: If `images` is too few for every class to be in every split.
    """
    if images < _LEAST_IMAGES:
        raise DataError(f"synthetic:clutter needs at least {_LEAST_IMAGES} images, but got {images}.")
    pixels, labels = draw(images)
    names = labels.numpy()
    size = request.size or NATURAL_SIZE
    return Source(
        images=MemoryImages(pixels, size, request.channels),
        labels=names,
        classes=CLASSES,
        in_test=np.arange(images) >= images - images // 5,
        size=size,
        normalisation=_STATISTICS.of_channels(request.channels),
        augmentation=turned_and_shifted(8, 0.08, fill=128),
        fingerprint=content_digest(pixels, names),
    )


def draw(images: int) -> tuple[Tensor, Tensor]:
    """Pixels `[images, 3, 32, 32]`, uint8, and labels `[images]`, int64."""
    generator = torch.Generator().manual_seed(_SEED)
    labels = torch.randint(len(CLASSES), (images,), generator=generator)
    atlas = _atlas()
    parts = [_draw_chunk(atlas, part, generator) for part in torch.split(labels, _CHUNK)]
    return torch.cat(parts), labels


def _draw_chunk(atlas: Tensor, labels: Tensor, generator: Generator) -> Tensor:
    count = len(labels)
    canvas = _texture(count, generator)
    ground = canvas.mean(dim=(2, 3), keepdim=True)
    for _ in range(3):
        others = torch.randint(len(CLASSES), (count,), generator=generator)
        shape = _placed(atlas[others], generator, scale=(0.35, 0.75), turn=math.pi, shift=0.8)
        shape = shape * _half_plane(count, generator) * _uniform(count, 0.3, 0.8, generator) * _DIFFICULTY
        canvas = torch.lerp(canvas, _texture(count, generator), shape.clamp(max=1))
    canvas = _with_stroke(canvas, generator)
    letter = _placed(atlas[labels], generator, scale=(0.85, 1.2), turn=math.pi / 8, shift=0.2)
    ink = _ink(ground, generator) + 0.4 * (_texture(count, generator) - 0.5)
    canvas = torch.lerp(canvas, ink, letter * 0.9)
    canvas = _with_stroke(canvas, generator)
    gain = _uniform(count, 0.7, 1.2, generator)
    noise = torch.randn(canvas.shape, generator=generator) * 0.06 * _DIFFICULTY
    canvas = (canvas - 0.5) * gain + 0.5 + noise
    return (canvas.clamp(0, 1) * 255).round().to(torch.uint8)


def _atlas() -> Tensor:
    """Each letter as a mask in [0, 1], `[classes, 1, 48, 48]`, in the font that Pillow brings along."""
    font = ImageFont.load_default(size=_GLYPH * 0.85)
    masks = []
    for letter in CLASSES:
        image = Image.new("L", (_GLYPH, _GLYPH))
        ImageDraw.Draw(image).text((_GLYPH / 2, _GLYPH / 2), letter, fill=255, font=font, anchor="mm")
        masks.append(torch.from_numpy(np.array(image, dtype=np.float32) / 255))
    return torch.stack(masks)[:, None]


def _placed(masks: Tensor, generator: Generator, *, scale: tuple[float, float], turn: float, shift: float) -> Tensor:
    """Masks scaled (1 fills the image), turned by up to `turn` radians and moved by up to `shift` half-images."""
    count = len(masks)
    angle = _uniform(count, -turn, turn, generator).flatten()
    inverse = 1 / _uniform(count, *scale, generator).flatten()
    stretch = _uniform(count, 0.8, 1.25, generator).flatten()
    move = (torch.rand(count, 2, generator=generator) * 2 - 1) * shift
    cos, sin = angle.cos() * inverse, angle.sin() * inverse
    turned = torch.stack([cos * stretch, sin * stretch, -sin / stretch, cos / stretch], dim=1).view(count, 2, 2)
    theta = torch.cat([turned, -(turned @ move[:, :, None])], dim=2)
    grid = functional.affine_grid(theta, [count, 1, NATURAL_SIZE, NATURAL_SIZE], align_corners=False)
    return functional.grid_sample(masks, grid, align_corners=False)


def _texture(count: int, generator: Generator) -> Tensor:
    """A random colour with smooth blotches and a grating, `[count, 3, 32, 32]` around [0, 1]."""
    colour = torch.rand(count, 3, 1, 1, generator=generator) * 0.6 + 0.2
    blotches = torch.randn(count, 3, 5, 5, generator=generator) * 0.1
    smooth = functional.interpolate(blotches, size=NATURAL_SIZE, mode="bicubic", align_corners=False)
    angle = _uniform(count, 0, math.pi, generator)
    along = _across(angle) * _uniform(count, 3, 16, generator) + _uniform(count, 0, 2 * math.pi, generator)
    tint = (torch.rand(count, 3, 1, 1, generator=generator) - 0.5) * 0.3
    return colour + smooth + tint * along.sin()


def _ink(ground: Tensor, generator: Generator) -> Tensor:
    """A colour per image that differs from the background's mean, `[count, 3, 1, 1]`."""
    count = len(ground)
    direction = functional.normalize(torch.randn(count, 3, 1, 1, generator=generator), dim=1)
    away = torch.where(ground > 0.5, -direction.abs(), direction.abs())
    return ground + away * _uniform(count, 0.4, 0.8, generator) / _DIFFICULTY


def _with_stroke(canvas: Tensor, generator: Generator) -> Tensor:
    """The canvas under one straight line of random colour and width."""
    count = len(canvas)
    angle = _uniform(count, 0, math.pi, generator)
    distance = (_across(angle) - _uniform(count, -0.9, 0.9, generator)).abs()
    opacity = (1.5 - distance / _uniform(count, 0.03, 0.08, generator)).clamp(0, 1)
    colour = torch.rand(count, 3, 1, 1, generator=generator)
    return torch.lerp(canvas, colour, opacity * 0.8)


def _half_plane(count: int, generator: Generator) -> Tensor:
    """1 on one side of a random line, 0 on the other: it leaves a part of a distractor."""
    angle = _uniform(count, 0, 2 * math.pi, generator)
    return (_across(angle) > _uniform(count, -0.4, 0.2, generator)).float()


def _across(angle: Tensor) -> Tensor:
    """Distance of each pixel from the line through the middle at `angle`, `[count, 1, 32, 32]` in half-images."""
    side = (torch.arange(NATURAL_SIZE) + 0.5) / NATURAL_SIZE * 2 - 1
    return side[None, None, None, :] * angle.cos() + side[None, None, :, None] * angle.sin()


def _uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    return torch.rand(count, 1, 1, 1, generator=generator) * (high - low) + low
