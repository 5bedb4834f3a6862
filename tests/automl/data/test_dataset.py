from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from automl.data import dataset as module
from automl.data.dataset import ImageDataset
from automl.data.source import Normalisation, Source


class _Counted:
    """Grey images of 4 x 6 pixels; how often each was opened."""

    def __init__(self) -> None:
        self.opened: list[int] = []

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Tensor:
        self.opened.append(index)
        return torch.full((1, 4, 6), 51 * (index % 6), dtype=torch.uint8)

    def unreadable(self, indices: Sequence[int]) -> dict[int, str]:
        return {}


def _source(images: _Counted) -> Source:
    def shifted(image: Tensor) -> Tensor:
        return image[:, :, :4] + torch.randint(0, 2, (1,), dtype=torch.uint8)

    statistics = Normalisation((0.2,), (0.4,))
    return Source(images, np.arange(10), tuple("abcdefghij"), None, 4, statistics, shifted, "")


def test_an_image_is_its_middle_normalised() -> None:
    image, label = ImageDataset(_source(_Counted()), np.array([7, 4]), augmented=False)[1]
    assert label == 4
    assert image.shape == (1, 4, 4)
    # 4 * 51 / 255 = 0.8, and (0.8 - 0.2) / 0.4 = 1.5.
    assert torch.allclose(image, torch.tensor(1.5))


def test_a_small_split_is_opened_once_and_not_before_it_is_used() -> None:
    images = _Counted()
    split = ImageDataset(_source(images), np.array([3, 1]), augmented=False)
    assert len(split) == 2
    assert split.labels == (3, 1)
    assert images.opened == []
    for _ in range(3):
        assert [split[index][1] for index in range(2)] == [3, 1]
    assert images.opened == [3, 1]


def test_a_large_split_is_opened_image_by_image(monkeypatch: pytest.MonkeyPatch) -> None:
    images = _Counted()
    prepared = ImageDataset(_source(_Counted()), np.array([3, 1]), augmented=False)
    monkeypatch.setattr(module, "_PREPARED_BYTES", 10)
    split = ImageDataset(_source(images), np.array([3, 1]), augmented=False)
    assert torch.equal(split[1][0], prepared[1][0])
    assert images.opened == [1]


def test_augmentation_follows_the_global_seed_and_differs_between_passes() -> None:
    split = ImageDataset(_source(_Counted()), np.arange(10), augmented=True)

    def seen(seed: int) -> list[float]:
        torch.manual_seed(seed)
        return [split[index][0].mean().item() for _ in range(2) for index in range(10)]

    first = seen(3)
    assert first == seen(3)
    assert first[:10] != first[10:]


def test_a_picture_is_the_middle_as_people_see_it() -> None:
    split = ImageDataset(_source(_Counted()), np.array([7, 4]), augmented=False)
    assert split.picture(1).shape == (1, 4, 4)
    assert split.picture(1).dtype == torch.uint8
    assert set(split.picture(1).flatten().tolist()) == {4 * 51}


@pytest.mark.parametrize(
    ("values", "seen"),
    [((0.0, 0.5, 1.0), [0, 128, 255]), ((-2.0, 0.0, 3.0), [0, 102, 255]), ((4.0, 4.0, 4.0), [0] * 3)],
)
def test_floats_in_0_to_1_are_shown_as_they_are_and_others_stretched_to_it(
    values: tuple[float, ...], seen: list[int]
) -> None:
    class Floats(_Counted):
        def __getitem__(self, index: int) -> Tensor:
            return torch.tensor(values).expand(1, 3, 3)

    source = replace(_source(_Counted()), images=Floats(), size=3)
    assert ImageDataset(source, np.array([0]), augmented=False).picture(0)[0, 0].tolist() == seen
