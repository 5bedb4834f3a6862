"""Runs commands on hostile input, and looks whether they end as they should and leave nothing behind."""

import stat
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from automl.cli.main import app
from automl.cli.outcome import run_and_exit

REFUSALS = (2, 3)
Tree = dict[str, bytes]


def tree(root: Path, without: Path | None = None) -> Tree:
    """Relative path -> content of all that lies in `root`, but for what lies in `without`; of a link what it says."""
    found: Tree = {}
    for path in sorted(root.rglob("*")):
        if without is not None and path.is_relative_to(without):
            continue
        mode = path.lstat().st_mode
        content = str(path.readlink()).encode() if stat.S_ISLNK(mode) else b""
        found[str(path.relative_to(root))] = content or (path.read_bytes() if stat.S_ISREG(mode) else b"")
    return found


def _too_late(*_: object, **__: object) -> NoReturn:
    raise AssertionError("what is refused must be refused before anything is trained or timed")


class Door:
    """The command line, in this process and in one folder."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        """In `home`, where also temporary files would lie."""
        (home / "tmp").mkdir()
        monkeypatch.chdir(home)
        monkeypatch.setattr(tempfile, "tempdir", str(home / "tmp"))
        for costly in ("automl.pipeline.baseline.train", "automl.pipeline.subject.local_profile"):
            monkeypatch.setattr(costly, _too_late)
        self.home, self._capsys, self._monkeypatch = home, capsys, monkeypatch

    def run(self, *arguments: str | Path) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of `automl ARGUMENTS`."""
        self._monkeypatch.setattr(sys, "argv", ["automl", *map(str, arguments)])
        self._capsys.readouterr()
        code = run_and_exit(app)
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err

    def survived(self, *arguments: str | Path, inside: Path | None = None) -> tuple[int, str, str]:
        """Runs a command that may take its input or refuse it, but change nothing outside the folder `inside`."""
        before = tree(self.home, inside)
        code, out, err = self.run(*arguments)
        assert code in (0, *REFUSALS), err
        assert "Traceback" not in err, err
        assert "--- Logging error" not in err, err
        assert all(each.isprintable() or each == "\n" for each in out + err), err
        assert tree(self.home, inside) == before
        return code, out, err

    def refused(self, *arguments: str | Path, inside: Path | None = None) -> str:
        """Runs a command that must end with exit code 2 or 3 and one message, which it returns."""
        code, out, err = self.survived(*arguments, inside=inside)
        assert code in REFUSALS, err
        assert out == ""
        messages = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(messages) == 1, err
        return err[err.index("error: ") :]
