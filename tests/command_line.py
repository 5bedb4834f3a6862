"""Runs `automl` as a user does: in this process for refusals, in another one where signals matter."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from automl.cli.main import app
from automl.cli.outcome import run_and_exit

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def automl(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Ended:
    monkeypatch.setattr(sys, "argv", ["automl", *arguments])
    capsys.readouterr()
    code = run_and_exit(app)
    captured = capsys.readouterr()
    return Ended(code, captured.out, " ".join(captured.err.split()))


def start(*arguments: str, cwd: Path) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "automl", *arguments],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments: str, cwd: Path) -> Ended:
    process = start(*arguments, cwd=cwd)
    out, err = process.communicate(timeout=540)
    return Ended(process.returncode, out, err)
