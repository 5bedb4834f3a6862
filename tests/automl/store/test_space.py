import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from automl.core.errors import StorageError
from automl.store.space import check_space

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def six_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9 - 6_000_000, 6_000_000))


def test_too_little_room_is_refused_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"needs 6\.1 MB .* has 6\.0 MB free"):
        check_space(tmp_path, 6_100_000)


def test_enough_room_is_not_spoken_of(tmp_path: Path) -> None:
    check_space(tmp_path, 6_000_000)


def test_a_folder_need_not_be_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_space(Path("runs") / "mine", 1)
    with pytest.raises(StorageError, match=str(tmp_path)):
        check_space(tmp_path / "new" / "runs", 10**7)
