import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import automl as package
from automl.pipeline.publishing import publish_run
from automl.store.address import StudyAddress
from automl.store.shelf import fetch, publish
from automl.store.study import open_study
from tests.automl.cli.conftest import Cli, MakeRun

CODE = "def net():\n    open('imported', 'w').close()\n"


def test_a_study_that_nobody_began_is_refused(automl: Cli, tmp_path: Path) -> None:
    found = automl("worker", "--storage", f"sqlite:///{tmp_path}/shared.db", "--study", "mine")
    assert found.code == 2
    assert "has none called 'mine'. Begin one with" in found.err


@pytest.mark.parametrize("storage", ["nonsense", "mysql://host/db", "postgresql://me:secret@host"])
def test_what_is_no_database_is_refused_without_showing_a_password(automl: Cli, storage: str) -> None:
    found = automl("worker", "--storage", storage, "--study", "mine")
    assert found.code == 2
    assert "`--storage` must" in found.err
    assert "secret" not in found.err


def test_the_storage_may_be_in_the_environment(automl: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_STORAGE", "nonsense")
    assert "`--storage` must" in automl("worker", "--study", "mine").err


def test_a_search_that_others_join_needs_a_name(automl: Cli, tmp_path: Path) -> None:
    found = automl("search", "--budget", "0.5flops", "--storage", f"sqlite:///{tmp_path}/shared.db")
    assert found.code == 2
    assert "Give it one with `--name`" in found.err
    assert not (tmp_path / "runs").exists()


def published(make_run: MakeRun, tmp_path: Path, config: str) -> str:
    """The storage of a study whose run has this configuration."""
    storage = f"sqlite:///{tmp_path}/shared.db"
    run = make_run("mine", done=False)
    run.config.write_text(config)
    address = StudyAddress.parse(storage, "mine")
    with open_study(address):
        publish_run(run, address)
    return storage


def test_code_that_only_the_database_names_is_not_imported(automl: Cli, make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text(CODE)
    storage = published(make_run, tmp_path, 'model = "evil:net"\ndata = "digits"\nbudget = ["0.5flops"]\n')
    found = automl("worker", "--storage", storage, "--study", "mine")
    assert found.code == 2
    assert "this search has model 'evil:net'. If you trust it, say so: `--model evil:net`" in found.err
    assert not (tmp_path / "imported").exists()


def test_a_worker_has_the_model_of_its_search(automl: Cli, make_run: MakeRun, tmp_path: Path) -> None:
    storage = published(make_run, tmp_path, 'model = "cifar_resnet20"\ndata = "digits"\nbudget = ["0.5flops"]\n')
    found = automl("worker", "--storage", storage, "--study", "mine", "--model", "cifar_resnet32")
    assert found.code == 2
    assert "A worker has the model of its search, 'cifar_resnet20'" in found.err


@pytest.mark.slow
def test_a_worker_goes_on_where_the_leading_process_was_stopped_and_that_one_finishes(
    automl: Cli, tmp_path: Path
) -> None:
    storage = f"sqlite:///{tmp_path}/shared.db"
    settings = ["--epochs", "2", "--limit", "240", "--finetune-epochs", "1", "--trials", "60"]
    command = ["search", "--budget", "0.5flops", *settings, "--engine", "random", "--storage", storage, "--name"]
    leads = subprocess.Popen(
        [sys.executable, "-m", "automl", *command, "mine"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "runs" / "mine" / "trials.csv").exists():
        assert leads.poll() is None, leads.communicate()[1]
        time.sleep(0.02)
    leads.send_signal(signal.SIGTERM)
    _, err = leads.communicate(timeout=120)
    assert leads.returncode == 130, err
    assert "Run      runs/mine\n" in err
    assert err.endswith("Go on    automl resume mine\n")
    (before,) = json.loads(automl("status", "mine", "--json").out)
    assert 0 < before["trials"] < 60

    worked = automl("worker", "--storage", storage, "--study", "mine", "--json")
    assert worked.code == 0, worked.err
    assert json.loads(worked.out)["completed"] == 60 - before["trials"]
    # What the leading process trained and measured is not done again.
    for name in ("state/baseline.safetensors", "state/sensitivity.json", "config.toml"):
        fetched, own = (tmp_path / "runs" / folder / name for folder in (".workers/mine", "mine"))
        assert fetched.read_bytes() == own.read_bytes()
    assert not list((tmp_path / "runs" / ".workers" / "mine").rglob("*.checkpoint"))
    (row,) = json.loads(automl("status", "mine", "--json").out)
    assert (row["trials"], row["running"], row["waiting"], row["failed"]) == (60, 0, 0, 0)
    assert [(each["leads"], each["state"]) for each in sorted(row["workers"], key=lambda each: not each["leads"])] == [
        (True, "gone"),
        (False, "gone"),
    ]
    assert "Completed" in automl("status", "mine").out

    finished = automl("resume", "mine", "--json")
    assert finished.code == 0, finished.err
    assert json.loads(finished.out)["search"]["trials"] == 60
    address = StudyAddress.parse(storage, "mine")
    files = fetch(address)
    publish(address, {**files, "config.toml": files["config.toml"].replace(b"limit = 240", b"limit = 480")})
    other = automl("worker", "--storage", storage, "--study", "mine")
    assert other.code == 2
    assert "A worker must see what the search began with." in other.err
