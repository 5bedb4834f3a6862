import importlib.util
import json
import os
import signal
import subprocess
import sys
from urllib.request import urlopen

import pytest

from tests.automl.cli.conftest import Cli, MakeRun


def test_a_run_that_is_not_there_and_a_missing_package_are_refused(
    automl: Cli, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run("mine")
    assert automl("dashboard", "mien").code == 2
    assert automl("dashboard", "mine", "--port", "70000").code == 2
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = automl("dashboard", "mine")
    assert found.code == 2
    assert "automl-compress[dashboard]" in found.err


def test_it_says_where_it_is_and_ends_with_ctrl_c(make_run: MakeRun) -> None:
    pytest.importorskip("optuna_dashboard")
    run = make_run("mine")
    command = [sys.executable, "-m", "automl", "dashboard", str(run.path)]
    # Its own TMPDIR shows what it leaves behind.
    left = run.path.parent / "temporary"
    left.mkdir()
    environment = {**os.environ, "TMPDIR": str(left)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    with urlopen(f"{url}api/studies", timeout=60) as answer:
        (study,) = json.load(answer)["study_summaries"]
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate(timeout=60)
    assert study["study_name"] == "search"
    assert (process.returncode, complaints) == (0, "")
    assert list(left.iterdir()) == []
