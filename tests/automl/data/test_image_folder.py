from pathlib import Path

import pytest
from PIL import Image

from automl.core.errors import DataError
from automl.data.image_folder import open_image_folder
from automl.data.source import Request
from tests.automl.data.conftest import WriteImages

_REQUEST = Request(14, 3, None, 0)


def test_subfolders_are_classes_in_order_of_name(tmp_path: Path, write_images: WriteImages) -> None:
    write_images(tmp_path / "dog", 3)
    write_images(tmp_path / "cat" / "tabby", 2)
    source = open_image_folder(str(tmp_path), _REQUEST)
    assert source.classes == ("cat", "dog")
    assert source.labels.tolist() == [0, 0, 1, 1, 1]
    assert source.in_test is None


@pytest.mark.parametrize("name", ["val", "test", "valid", "validation"])
def test_a_held_out_folder_is_the_test_set(name: str, tmp_path: Path, write_images: WriteImages) -> None:
    for label in ("a", "b"):
        write_images(tmp_path / "train" / label, 3)
        write_images(tmp_path / name / label, 1)
    source = open_image_folder(str(tmp_path), _REQUEST)
    assert source.in_test is not None
    assert source.in_test.tolist() == [False] * 6 + [True] * 2
    assert source.labels.tolist() == [0, 0, 0, 1, 1, 1, 0, 1]


def test_where_there_is_a_test_folder_the_validation_images_join_training(
    tmp_path: Path, write_images: WriteImages
) -> None:
    for part in ("train", "val", "test"):
        for label in ("a", "b"):
            write_images(tmp_path / part / label, 2)
    source = open_image_folder(str(tmp_path), _REQUEST)
    assert source.in_test is not None
    assert source.in_test.tolist() == [False] * 8 + [True] * 4


def test_images_alone_have_no_labels(tmp_path: Path, write_images: WriteImages) -> None:
    write_images(tmp_path, 4)
    source = open_image_folder(str(tmp_path), _REQUEST)
    assert source.classes == ()
    assert source.labels.tolist() == [-1] * 4


def test_hidden_folders_and_other_files_are_left_out(tmp_path: Path, write_images: WriteImages) -> None:
    for name in ("a", "b", ".thumbnails", "__MACOSX"):
        write_images(tmp_path / name, 2)
    (tmp_path / "a" / "notes.txt").touch()
    (tmp_path / "a" / "._0001.jpg").touch()
    source = open_image_folder(str(tmp_path), _REQUEST)
    assert source.classes == ("a", "b")
    assert len(source.images) == 4


def test_the_fingerprint_sees_names_and_sizes_but_not_the_place(tmp_path: Path, write_images: WriteImages) -> None:
    for place in ("one", "two"):
        for label in ("a", "b"):
            write_images(tmp_path / place / label, 2)

    def fingerprint(place: str) -> str:
        return open_image_folder(str(tmp_path / place), _REQUEST).fingerprint

    assert fingerprint("one") == fingerprint("two")
    (tmp_path / "two" / "a" / "0000.jpg").rename(tmp_path / "two" / "b" / "0002.jpg")
    assert fingerprint("one") != fingerprint("two")


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent' is not one"):
        open_image_folder(str(tmp_path / "absent"), _REQUEST)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        open_image_folder(str(tmp_path), _REQUEST)


def test_a_single_class_is_refused_with_the_way_out(tmp_path: Path, write_images: WriteImages) -> None:
    write_images(tmp_path / "only", 4)
    with pytest.raises(DataError, match=r"has one, 'only'.*without labels"):
        open_image_folder(str(tmp_path), _REQUEST)


def test_an_empty_class_folder_is_refused(tmp_path: Path, write_images: WriteImages) -> None:
    write_images(tmp_path / "a", 4)
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match=r"b' has none \(1 of 2 folders\)"):
        open_image_folder(str(tmp_path), _REQUEST)


def test_parts_with_different_classes_are_refused(tmp_path: Path, write_images: WriteImages) -> None:
    for part, labels in (("train", "ab"), ("val", "abc")):
        for label in labels:
            write_images(tmp_path / part / label, 2)
    with pytest.raises(DataError, match="'c' is in one of them only"):
        open_image_folder(str(tmp_path), _REQUEST)


def test_a_link_that_leads_round_is_walked_once(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name / "deeper").mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(tmp_path / name / "deeper" / "a.png")
        (tmp_path / name / "deeper" / "round").symlink_to("..")
    source = open_image_folder(str(tmp_path), Request(16, 3, None, 0))
    assert len(source.labels) == 2
