import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import photos
from benchmarks.photos import SIZE, TEST, TRAIN, cut, located

pytestmark = pytest.mark.skipif(importlib.util.find_spec("skimage") is None, reason="scikit-image is not installed")


def test_no_photo_is_in_both_sets() -> None:
    assert not set(TRAIN) & set(TEST)
    # The names might differ and the pictures be the same.
    contents = [located(photo).read_bytes() for photo in (*TRAIN, *TEST)]
    assert len(set(contents)) == len(contents)


def test_training_and_test_crops_come_from_their_own_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def remembered(names: Sequence[str], count: int, *, seed: int) -> photos.Crops:
        asked.append(tuple(names))
        return []

    monkeypatch.setattr(photos, "cut", remembered)
    photos.crops()
    assert asked == [TRAIN, TEST]


def test_crops_are_the_same_every_time_and_carry_no_label() -> None:
    first, second = cut(TEST, 8, seed=3), cut(TEST, 8, seed=3)
    for (one, label), (other, _) in zip(first, second, strict=True):
        assert (one.size, one.mode, label) == ((SIZE, SIZE), "RGB", -1)
        assert np.array_equal(np.asarray(one), np.asarray(other))


def test_every_photo_gives_as_many_crops(tmp_path: Path) -> None:
    names = []
    for level in (40, 200):
        names.append(f"numpy/{level}.png")
        Image.new("RGB", (300, 300), (level, level, level)).save(tmp_path / f"{level}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photos, "located", lambda name: tmp_path / name.partition("/")[2])
        levels = [int(np.asarray(image).mean()) for image, _ in cut(names, 6, seed=0)]
    assert sorted(levels) == [40, 40, 40, 200, 200, 200]


def test_a_photo_that_is_not_there_names_the_extra() -> None:
    with pytest.raises(FileNotFoundError, match="bench"):
        located("skimage/data/no_such_photo.png")
