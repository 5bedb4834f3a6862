"""Image tensors `[..., C, H, W]`, uint8 or float32: channels, size and content."""

import hashlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import (  # type: ignore[attr-defined]
    center_crop,
    pil_to_tensor,
    resize,
    rgb_to_grayscale,
)


def as_channels(pixels: Tensor, channels: int) -> Tensor:
    """Repeats one channel to three, or takes the luma of three."""
    if pixels.shape[-3] == channels:
        return pixels
    if channels == 1:
        luma: Tensor = rgb_to_grayscale(pixels)
        return luma
    return pixels.expand(*pixels.shape[:-3], channels, *pixels.shape[-2:])


def stretched(pixels: Tensor, size: int) -> Tensor:
    """Resized to `size` x `size` pixels, whatever the aspect."""
    if pixels.shape[-2:] == (size, size):
        return pixels
    resized: Tensor = resize(pixels, [size, size], antialias=True)
    return resized


def middle(pixels: Tensor, size: int) -> Tensor:
    """The middle `size` x `size` pixels."""
    if pixels.shape[-2:] == (size, size):
        return pixels
    cropped: Tensor = center_crop(pixels, [size, size])
    return cropped


def fitted(pixels: Tensor, size: int) -> Tensor:
    """Resized so that the shorter side has `size` pixels; the middle of that."""
    if min(pixels.shape[-2:]) == size:
        return middle(pixels, size)
    return middle(resize(pixels, [size], antialias=True), size)


def of_pil(image: Image.Image) -> Tensor:
    """uint8 `[1 or 3, H, W]`."""
    image = eight_bit(image)
    tensor: Tensor = pil_to_tensor(image if image.mode in {"L", "RGB"} else image.convert("RGB"))
    return tensor


def eight_bit(image: Image.Image) -> Image.Image:
    """A 16-bit grey picture scaled to 8 bits, any other as it is: Pillow's own conversion clips it to white."""
    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image) // 256).astype(np.uint8))


def content_digest(pixels: Tensor, labels: NDArray[np.int64]) -> str:
    """SHA-256 over shapes, pixels and labels, in hexadecimal."""
    digest = hashlib.sha256(f"{tuple(pixels.shape)} {pixels.dtype}".encode())
    digest.update(pixels.contiguous().numpy().data)
    digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()
