import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from automl.pipeline.dashboard import dashboard
from automl.pipeline.reporting import read_report
from automl.report.html import sentence
from automl.report.note import plain
from automl.store.address import StudyAddress
from automl.store.study import open_study
from tests.automl.cli.conftest import Cli, MakeRun, evaluation
from tests.automl.report.pages import check_page
from tests.contracts.trials import tell


def get(application: Any, path: str) -> tuple[str, dict[str, str], str]:
    """(status, headers, body) of what the application answers."""
    told: list[Any] = []
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "SERVER_NAME": "here", "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO(), "wsgi.url_scheme": "http",
    }  # fmt: skip
    body = application(environ, lambda status, headers, *_: told.extend([status, dict(headers)]))
    content = b"".join(body)
    if hasattr(body, "close"):
        body.close()
    return told[0], told[1], content.decode()


def study_of(application: Any) -> tuple[int, dict[str, Any]]:
    (listed,) = json.loads(get(application, "/api/studies")[2])["study_summaries"]
    found: dict[str, Any] = json.loads(get(application, f"/api/studies/{listed['study_id']}")[2])
    return listed["study_id"], found


def content(folder: Path) -> dict[str, bytes]:
    """Every file but SQLite's index of its log, which readers write as well."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("-shm"))
    return {str(path): path.read_bytes() for path in files if path.stat().st_size}


def test_trials_note_plots_and_report_are_there_and_the_run_is_as_it_was(make_run: MakeRun) -> None:
    pytest.importorskip("optuna_dashboard")
    run = make_run("mine")
    before = content(run.path)
    with dashboard(run) as application:
        number, study = study_of(application)
        assert [trial["values"] for trial in study["trials"]] == [[0.5], [0.2], [0.3]]
        assert study["note"]["body"].startswith(f"**{plain(sentence(read_report(run)))}**")
        files = {each["filename"]: each for each in study["artifacts"]}
        assert set(files) == {"tradeoff.svg", "history.svg", "report.html"}
        for name, each in files.items():
            path = f"/artifacts/{number}/{each['artifact_id']}"
            assert path in study["note"]["body"]
            status, headers, text = get(application, path)
            assert (status, headers["Content-Type"]) == ("200 OK", each["mimetype"])
            assert text.startswith("<svg" if name.endswith("svg") else "<!DOCTYPE html>")
            if name == "report.html":
                check_page(text)
    assert content(run.path) == before
    with open_study(StudyAddress.of_file(run.study_db)) as own:
        assert own._storage.get_study_system_attrs(own._study_id) == {}


def test_trials_that_are_completed_meanwhile_are_seen(make_run: MakeRun) -> None:
    pytest.importorskip("optuna_dashboard")
    run = make_run("mine", asked=40, done=False)
    with dashboard(run) as application:
        with open_study(StudyAddress.of_file(run.study_db)) as own:
            tell(own, evaluation(0.1))
        _, study = study_of(application)
        assert [trial["values"] for trial in study["trials"]] == [[0.5], [0.2], [0.3], [0.1]]
        assert study["note"]["body"].startswith("**Not finished: 3 of 40")


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
