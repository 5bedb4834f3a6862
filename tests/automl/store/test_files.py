import errno
import os
import stat
from pathlib import Path
from typing import NoReturn

import pytest

from automl.core.errors import RunError, StorageError
from automl.store.files import read_json, read_text, replacing, write_bytes, write_json, write_text


def test_a_written_file_holds_the_content_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_text(path, "naïve")
    assert path.read_bytes() == "naïve".encode()
    assert list(path.parent.iterdir()) == [path]


def test_writing_again_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, b"a long first version")
    write_bytes(path, b"short")
    assert path.read_bytes() == b"short"


def test_a_full_disk_is_refused_and_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"version": 1})

    def full(_: int) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"No space left on device.*is whole"):
        write_json(path, {"version": 2})
    assert path.read_text() == '{\n  "version": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(RunError, match="must be writable"):
        write_text(tmp_path / "runs" / "a.txt", "")


def test_a_writer_that_fails_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError), replacing(path) as aside:
        aside.write_text("half \udcff way", encoding="utf-8")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_aside_keeps_the_suffix(tmp_path: Path) -> None:
    with replacing(tmp_path / "model.safetensors") as aside:
        assert aside.suffix == ".safetensors"


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "a.txt", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o644


def test_nan_is_not_written_as_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"accuracy": float("nan")})


def test_what_was_written_is_read(tmp_path: Path) -> None:
    value = {"accuracy": 0.5, "count": 2**62, "names": ["é", None, True]}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value


@pytest.mark.parametrize(
    "text", ['{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', f"[{2**63}]", '{"a": 1, "a": 2}', "[" * 10**5, "", "{"]
)
def test_json_that_we_never_write_is_not_read(tmp_path: Path, text: str) -> None:
    write_text(tmp_path / "a.json", text)
    with pytest.raises(ValueError, match=r"\S"):
        read_json(tmp_path / "a.json")


def test_only_plain_files_of_a_bounded_size_are_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no plain file"):
        read_text(Path("/dev/zero"))
    with pytest.raises(IsADirectoryError):
        read_text(tmp_path)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**29)
    with pytest.raises(ValueError, match="536,870,912 bytes"):
        read_text(tmp_path / "large")
