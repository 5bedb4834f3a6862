from collections import Counter
from pathlib import Path

import pytest
import torch
from PIL import Image

from automl.core.errors import DataError
from automl.data.dataset import ImageDataset
from automl.data.splits import Splits, batches, load_splits
from tests.automl.data.conftest import WriteImages


def _parts(splits: Splits) -> dict[str, ImageDataset]:
    return {
        "train": splits.train,
        "search": splits.search,
        "selection": splits.selection,
        "test": splits.test,
    }


def _indices(split: ImageDataset) -> set[int]:
    return set(split._indices)


@pytest.fixture(scope="module")
def digits() -> Splits:
    return load_splits("digits", seed=0)


def test_digits_are_divided_by_the_shares(digits: Splits) -> None:
    # 1,797 images: a quarter is 449.25, 15% 269.55, 10% 179.7; the rest trains.
    sizes = {name: len(part) for name, part in _parts(digits).items()}
    assert sizes == {"train": 1797 - 449 - 270 - 180, "search": 270, "selection": 180, "test": 449}
    assert len(digits.calibration) == 512
    assert (digits.input_shape, digits.name, digits.skipped, digits.labelled) == ((3, 16, 16), "digits", 0, True)


def test_every_image_is_in_one_split_and_calibration_within_train(digits: Splits) -> None:
    parts = [_indices(part) for part in _parts(digits).values()]
    assert sum(len(part) for part in parts) == len(set.union(*parts)) == 1797
    assert _indices(digits.calibration) < _indices(digits.train)


def test_classes_are_spread_evenly_over_the_splits(digits: Splits) -> None:
    everything = Counter(label for part in _parts(digits).values() for label in part.labels)
    for part in _parts(digits).values():
        for label, count in Counter(part.labels).items():
            assert abs(count - everything[label] * len(part) / 1797) < 2


def test_the_first_images_of_a_split_are_of_mixed_classes(digits: Splits) -> None:
    # Racing looks at the first images of the search split only.
    assert len(set(digits.search.labels[:64])) == 10


def test_the_seed_decides_the_splits(digits: Splits) -> None:
    again, other = load_splits("digits", seed=0), load_splits("digits", seed=1)
    assert again.digest == digits.digest != other.digest
    assert [part._indices for part in _parts(again).values()] == [part._indices for part in _parts(digits).values()]
    for name in ("train", "search", "selection"):
        assert _indices(_parts(other)[name]) != _indices(_parts(digits)[name])


@pytest.mark.parametrize("change", [{"input_size": 8}, {"channels": 1}, {"limit": 600}])
def test_the_digest_sees_size_channels_and_limit(change: dict[str, int], digits: Splits) -> None:
    assert load_splits("digits", seed=0, **change).digest != digits.digest


def test_the_test_images_are_the_same_at_any_size_and_with_any_seed(digits: Splits) -> None:
    assert load_splits("digits", seed=0, input_size=8).test_digest == digits.test_digest
    assert load_splits("digits", seed=1).test_digest == digits.test_digest
    assert load_splits("digits", seed=0, limit=600).test_digest != digits.test_digest


@pytest.mark.parametrize("data", ["digits", "synthetic:clutter?images=1500"])
def test_a_limit_leaves_the_same_images_with_any_seed(data: str) -> None:
    first, other = (load_splits(data, seed=seed, limit=600) for seed in (0, 1))
    assert first.test_digest == other.test_digest
    left = [set[int]().union(*(part._indices for part in _parts(each).values())) for each in (first, other)]
    assert left[0] == left[1]


def test_a_sources_own_test_images_are_the_same_for_every_seed() -> None:
    first, other = (load_splits("synthetic:clutter?images=600", seed=seed) for seed in (0, 1))
    assert first.test_digest == other.test_digest
    assert first.digest != other.digest


def test_train_alone_is_augmented(digits: Splits) -> None:
    assert not torch.equal(digits.train[0][0], digits.train[0][0])
    for part in (digits.calibration, digits.search, digits.selection, digits.test):
        assert torch.equal(part[0][0], part[0][0])


def test_a_limit_keeps_the_classes_and_the_test_set_in_proportion() -> None:
    splits = load_splits("synthetic:clutter?images=1500", seed=0, limit=750)
    assert len(splits.test) == 150
    assert sum(len(part) for part in _parts(splits).values()) == 750
    assert max(splits.test._indices) < 1500
    assert min(splits.test._indices) >= 1200


def test_a_sources_own_test_set_stays_the_test_set() -> None:
    splits = load_splits("synthetic:clutter?images=1000", seed=0)
    assert _indices(splits.test) == set(range(800, 1000))
    assert (len(splits.search), len(splits.selection), len(splits.train)) == (120, 80, 600)


def test_a_corrupt_image_is_skipped_and_counted(tmp_path: Path, write_images: WriteImages) -> None:
    broken = write_images(tmp_path / "a", 60)[7]
    write_images(tmp_path / "b", 60)
    broken.write_bytes(b"no picture")
    splits = load_splits(f"imagefolder:{tmp_path}", seed=0, input_size=14)
    assert splits.skipped == 1
    assert sum(len(part) for part in _parts(splits).values()) == 119
    assert splits.input_shape == (3, 14, 14)


def test_more_than_one_percent_of_corrupt_images_is_refused(tmp_path: Path, write_images: WriteImages) -> None:
    paths = write_images(tmp_path / "a", 60) + write_images(tmp_path / "b", 60)
    for path in paths[:2]:
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"2 of 120 are: .*0000\.jpg.*Repair or remove"):
        load_splits(f"imagefolder:{tmp_path}", seed=0, input_size=14)


def test_an_unlabelled_folder_has_no_classes_and_labels_of_minus_one(tmp_path: Path, write_images: WriteImages) -> None:
    write_images(tmp_path, 40)
    splits = load_splits(f"imagefolder:{tmp_path}", seed=0, input_size=14)
    assert not splits.labelled
    assert {splits.train[index][1] for index in range(len(splits.train))} == {-1}
    assert [len(part) for part in _parts(splits).values()] == [20, 6, 4, 10]


def test_a_train_image_of_a_folder_has_the_size_asked_for(tmp_path: Path, write_images: WriteImages) -> None:
    write_images(tmp_path, 40)
    splits = load_splits(f"imagefolder:{tmp_path}", seed=0, input_size=20, channels=1)
    assert splits.train[0][0].shape == splits.test[0][0].shape == (1, 20, 20)
    assert splits.train[0][0].dtype == torch.float32


def test_too_few_images_are_refused_with_the_sizes(tmp_path: Path, write_images: WriteImages) -> None:
    write_images(tmp_path / "a", 1)
    write_images(tmp_path / "b", 1)
    with pytest.raises(DataError, match=r"Every split must have an image.*0 search.*Add images"):
        load_splits(f"imagefolder:{tmp_path}", seed=0)


def test_a_class_without_training_images_is_refused() -> None:
    with pytest.raises(DataError, match=r"Every class must have training images.*raise --limit"):
        load_splits("digits", seed=0, limit=12)


def test_a_class_whose_images_are_all_corrupt_is_refused(tmp_path: Path, write_images: WriteImages) -> None:
    write_images(tmp_path / "a", 100)
    write_images(tmp_path / "b", 100)
    Image.new("RGB", (20, 20)).save(tmp_path / "a" / "more.jpg")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "broken.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="'c' has none left"):
        load_splits(f"imagefolder:{tmp_path}", seed=0, input_size=14)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_size": 4}, "8 px or more and at most 4096, but got 4"),
        ({"channels": 4}, "1 or 3 channels, but the network reads 4"),
        ({"limit": 0}, "1 image or more, but got 0"),
    ],
)
def test_a_request_out_of_range_is_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_splits("digits", seed=0, **change)


def test_batches_keep_the_order_and_the_last_few(digits: Splits) -> None:
    labels = [label for _, batch in batches(digits.selection, 64) for label in batch.tolist()]
    assert labels == list(digits.selection.labels)
    images, batch = next(iter(batches(digits.selection, 64)))
    assert (images.shape, images.dtype, batch.dtype) == ((64, 3, 16, 16), torch.float32, torch.int64)


def test_shuffled_batches_repeat_by_seed_and_change_by_pass(digits: Splits) -> None:
    def orders(seed: int) -> list[list[int]]:
        loader = batches(digits.selection, 64, shuffle_seed=seed, drop_last=True)
        return [[label for _, batch in loader for label in batch.tolist()] for _ in range(2)]

    first, second = orders(5)
    assert len(first) == 128
    assert first != second
    assert orders(5) == [first, second]


def test_reading_batches_leaves_the_global_generator_alone(digits: Splits) -> None:
    before = torch.random.get_rng_state()
    for shuffle_seed in (None, 3):
        list(batches(digits.search, 64, shuffle_seed=shuffle_seed))
    assert torch.equal(before, torch.random.get_rng_state())


def test_augmented_batches_repeat_with_the_global_seed(digits: Splits) -> None:
    def mean() -> float:
        torch.manual_seed(11)
        images, _ = next(iter(batches(digits.train, 32, shuffle_seed=2)))
        return float(images.mean())

    assert mean() == mean()
