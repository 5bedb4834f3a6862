import pytest
import torch

from automl.data import memory_images
from automl.data.memory_images import MemoryImages


def test_images_at_their_own_size_are_given_out_unchanged() -> None:
    pixels = torch.randint(0, 256, (3, 3, 4, 4), dtype=torch.uint8)
    images = MemoryImages(pixels, 4, 3)
    assert len(images) == 3
    assert torch.equal(images[1], pixels[1])
    assert images.unreadable([0, 1, 2]) == {}


def test_images_too_large_to_keep_resized_are_resized_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = torch.randint(0, 256, (3, 1, 4, 4), dtype=torch.uint8)
    kept = MemoryImages(pixels, 8, 3)
    monkeypatch.setattr(memory_images, "_RESIZED_BYTES", 100)
    resized_each_time = MemoryImages(pixels, 8, 3)
    assert all(torch.equal(kept[index], resized_each_time[index]) for index in range(3))
    assert kept[0].shape == (3, 8, 8)
