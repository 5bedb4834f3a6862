import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from automl.core.errors import StorageError
from automl.runtime.host_lock import computing, measuring

CODE = """
import sys, tempfile
from automl.runtime import host_lock
tempfile.tempdir = sys.argv[1]
with getattr(host_lock, sys.argv[2])():
    print("in", flush=True)
    sys.stdin.readline()
print("out", flush=True)
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def process(kind: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", CODE, tempfile.gettempdir(), kind]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(of: "subprocess.Popen[str]") -> str:
    assert of.stdout is not None
    return of.stdout.readline().strip()


def leave(which: "subprocess.Popen[str]") -> None:
    which.communicate("\n", timeout=60)


def test_many_compute_at_one_time() -> None:
    with computing():
        other = process("computing")
        assert line(other) == "in"
        leave(other)


def test_who_measures_waits_for_those_who_compute_and_newcomers_wait_behind_it() -> None:
    with computing():
        measures = process("measuring")
        with pytest.raises(subprocess.TimeoutExpired):
            measures.wait(1.5)
        computes = process("computing")
        with pytest.raises(subprocess.TimeoutExpired):
            computes.wait(1.5)
    assert line(measures) == "in"
    with pytest.raises(subprocess.TimeoutExpired):
        computes.wait(1.0)
    leave(measures)
    assert line(computes) == "in"
    leave(computes)


def test_a_process_that_is_killed_holds_nothing() -> None:
    killed = process("measuring")
    assert line(killed) == "in"
    killed.kill()
    killed.communicate()
    with computing():
        pass


def test_a_link_in_the_shared_folder_is_not_followed(tmp_path: Path) -> None:
    with measuring():
        (lock,) = tmp_path.glob("*gate.lock")
    lock.unlink()
    lock.symlink_to(tmp_path / "victim")
    with pytest.raises(StorageError, match=r"gate\.lock, but it cannot be opened"), measuring():
        pass
    assert not (tmp_path / "victim").exists()
