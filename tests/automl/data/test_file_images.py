from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from automl.core.errors import DataError
from automl.data import file_images
from automl.data.file_images import FileImages
from tests.automl.data.conftest import WriteImages


def test_the_shorter_side_leaves_a_margin_of_a_seventh(tmp_path: Path, write_images: WriteImages) -> None:
    image = FileImages(write_images(tmp_path, 1), 14, 3)[0]
    # 40 x 30 pixels: the shorter side becomes 14 * 8 / 7 = 16, the other 16 * 40 / 30 = 21.3.
    assert image.shape == (3, 16, 21)
    assert image.dtype == torch.uint8


def test_one_channel_is_luma(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (255, 0, 0)).save(tmp_path / "red.png")
    image = FileImages([tmp_path / "red.png"], 14, 1)[0]
    assert image.shape == (1, 16, 16)
    assert sorted(set(image.flatten().tolist())) == [76]  # 0.299 * 255


def test_pictures_of_any_mode_are_read(tmp_path: Path) -> None:
    for mode in ("L", "RGBA", "P", "LA", "1"):
        Image.new(mode, (20, 20)).save(tmp_path / f"{mode}.png")
    Image.new("CMYK", (20, 20)).save(tmp_path / "cmyk.jpg")
    images = FileImages(sorted(tmp_path.iterdir()), 14, 3)
    assert {images[index].shape for index in range(len(images))} == {torch.Size([3, 16, 16])}


def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((16, 16), 100 * 256 + 9, dtype=np.uint16)).save(tmp_path / "scan.png")
    image = FileImages([tmp_path / "scan.png"], 14, 3)[0]
    assert set(image.flatten().tolist()) == {100}


def test_a_panorama_is_cut_to_its_middle(tmp_path: Path) -> None:
    strip = np.zeros((10, 1000, 3), dtype=np.uint8)
    strip[:, 490:510] = 255
    Image.fromarray(strip).save(tmp_path / "strip.png")
    image = FileImages([tmp_path / "strip.png"], 14, 3)[0]
    assert image.shape == (3, 16, 32)
    assert sorted(set(image.flatten().tolist())) == [255]


def test_a_decoded_image_is_not_read_again(tmp_path: Path, write_images: WriteImages) -> None:
    paths = write_images(tmp_path, 2)
    images = FileImages(paths, 14, 3)
    assert images.unreadable([0]) == {}
    for path in paths:
        path.unlink()
    assert images[0].shape == (3, 16, 21)
    with pytest.raises(DataError, match=r"must stay readable.*0001\.jpg"):
        images[1]


def test_without_room_in_memory_images_are_read_again(
    tmp_path: Path, write_images: WriteImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_images, "_CACHE_BYTES", 3 * 16 * 21)
    paths = write_images(tmp_path, 2)
    images = FileImages(paths, 14, 3)
    assert images.unreadable([0, 1]) == {}
    assert torch.equal(images[1], FileImages(paths, 14, 3)[1])
    assert images._cached_bytes == 3 * 16 * 21


@pytest.mark.parametrize("kind", ["empty", "text", "torn"])
def test_a_corrupt_file_is_found_and_named(kind: str, tmp_path: Path, write_images: WriteImages) -> None:
    paths = write_images(tmp_path, 3)
    whole = paths[1].read_bytes()
    paths[1].write_bytes({"empty": b"", "text": b"no picture", "torn": whole[: len(whole) // 2]}[kind])
    found = FileImages(paths, 14, 3).unreadable([0, 1, 2])
    assert list(found) == [1]
    assert "0001.jpg" in found[1]


def test_files_that_are_trusted_are_not_opened(tmp_path: Path) -> None:
    assert FileImages([tmp_path / "absent.jpg"], 14, 3, scan=False).unreadable([0]) == {}
