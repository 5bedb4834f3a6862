"""A disk that is full while a run searches, fine-tunes or exports: exit 1, and the run goes on once there is room."""

import importlib
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from automl.cli.main import app
from automl.cli.outcome import run_and_exit
from automl.store.run import Run
from tests.hostile.network import SPEC

pytestmark = pytest.mark.slow
SETTINGS = ("--engine", "random", "--limit", "240", "--trials", "3", "--epochs", "1", "--finetune-epochs", "1")
SEARCH = ("search", "--model", SPEC, "--budget", "0.6flops", "--name", "mine", *SETTINGS)
RESUME = ("resume", "mine", "--model", SPEC)
TMPFS_BYTES = 8 * 2**20


class Disk(Protocol):
    """A place to work in, whose disk can be full."""

    path: Path

    def fill(self) -> None: ...

    def clear(self) -> None: ...


class Tmpfs:
    """A file system of a few megabytes, filled by a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self) -> None:
        with (self.path / "filler").open("ab", buffering=0) as file:
            for size in (2**16, 1):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue

    def clear(self) -> None:
        (self.path / "filler").unlink()


class Limited:
    """A process that may not write a byte to any file: what can be had without the right to mount."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, self._before[1]))

    def clear(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)


@pytest.fixture(params=["tmpfs", "limit"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    monkeypatch.chdir(tmp_path)
    if request.param == "limit":
        limited = Limited(tmp_path)
        yield limited
        limited.clear()
        return
    command = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(tmp_path)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a tmpfs takes the right to mount: {mounted.stderr.strip()}")
    monkeypatch.chdir(tmp_path)
    yield Tmpfs(tmp_path)
    os.chdir("/")
    subprocess.run(["umount", str(tmp_path)], check=True)


Automl = Callable[..., tuple[int, str]]


@pytest.fixture
def automl(disk: Disk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Automl:
    """Exit code and stderr of a command."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["automl", *arguments])
        code = run_and_exit(app)
        return code, capsys.readouterr().err

    return run


def full_from(where: str, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the disk be full as soon as `where`, a function, is called."""
    module, _, name = where.rpartition(".")
    called = getattr(importlib.import_module(module), name)

    def filled(*arguments: Any, **named: Any) -> Any:
        disk.fill()
        return called(*arguments, **named)

    monkeypatch.setattr(where, filled)


def check_refusal(code: int, err: str) -> None:
    assert code == 1, err
    assert err.count("error: ") == 1
    assert "Traceback" not in err
    assert "Logging error" not in err
    assert "Free some space" in err


PHASES = {
    "baseline": "automl.training.loop.write_checkpoint",
    "study": "automl.pipeline.searching.present",
    "trial": "automl.search.runner._worked",
    "promotion": "automl.pipeline.runs.promote",
    "fine-tuning": "automl.training.loop.write_checkpoint",
    "export": "automl.pipeline.finishing.export_network",
    "report": "automl.pipeline.reporting.write_plots",
}
"""What is going on -> the function at whose call the disk is full."""


def test_a_run_goes_on_wherever_the_disk_was_full(disk: Disk, automl: Automl) -> None:
    command: tuple[str, ...] = SEARCH
    for where in PHASES.values():
        with pytest.MonkeyPatch.context() as patch:
            full_from(where, disk, patch)
            check_refusal(*automl(*command))
            disk.clear()
        command = RESUME
    code, err = automl(*RESUME)
    assert code == 0, err
    run = Run(disk.path / "runs" / "mine")
    assert run.onnx.is_file()
    assert run.report_html.is_file()
    assert not [path for path in disk.path.rglob(".*") if path.is_file()]
    check_other_commands(disk, automl)


def check_other_commands(disk: Disk, automl: Automl) -> None:
    export = ("export", "mine", "--model", SPEC, "--to", "out")
    with pytest.MonkeyPatch.context() as patch:
        full_from("automl.pipeline.runs.export_network", disk, patch)
        check_refusal(*automl(*export))
        disk.clear()
    assert automl(*export)[0] == 0
    disk.fill()
    ended = automl(*RESUME)
    disk.clear()
    check_refusal(*ended)


def test_nothing_is_begun_on_a_full_disk(disk: Disk, automl: Automl) -> None:
    disk.fill()
    ended = automl(*SEARCH)
    disk.clear()
    check_refusal(*ended)
    assert not list(disk.path.glob("runs/*"))
