import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

import automl
from automl.core.errors import RunError, StorageError
from automl.store.run import create_run, free_name, open_run, run_names


def started(runs: Path, name: str) -> Path:
    run = create_run(runs, name)
    run.config.write_text("")
    return run.path


def test_a_new_run_has_its_folders(tmp_path: Path) -> None:
    run = create_run(tmp_path / "runs", "first.run_1")
    assert run.path == tmp_path / "runs" / "first.run_1"
    assert all(folder.is_dir() for folder in (run.state, run.best, run.plots))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../up", "a/b", "/abs", ".hidden", "-flag", "a b", "x" * 65, "ä", "a\n"]
)
def test_a_name_with_a_path_or_odd_letters_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match="A run name has 1 to 64"):
        create_run(tmp_path / "runs", name)
    assert not (tmp_path / "runs").exists()


def test_a_link_that_leads_out_of_the_runs_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "else" / "where")
    with pytest.raises(RunError, match="is a link to"):
        create_run(tmp_path / "runs", "link")


def test_a_taken_name_is_refused_with_the_ways_out(tmp_path: Path) -> None:
    create_run(tmp_path, "mine")
    with pytest.raises(RunError, match=r"--name.*automl resume mine"):
        create_run(tmp_path, "mine")


def test_a_runs_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(RunError):
        create_run(tmp_path / "runs", "mine")


@pytest.mark.parametrize(
    ("model", "budget", "name"),
    [
        ("torchvision:mobilenet_v2", "0.25flops", "mobilenet_v2-0.25flops"),
        ("my.models:tiny_net", "0.5flops,2.2Mparams", "tiny_net-0.5flops-2.2Mparams"),
        ("timm:mobilenetv3_large_100.ra_in1k", "2MB", "mobilenetv3_large_100.ra_in1k-2MB"),
        ("x:" + "n" * 90, "0.5flops", "n" * 58),
    ],
)
def test_a_default_name_says_model_and_budget(tmp_path: Path, model: str, budget: str, name: str) -> None:
    assert free_name(tmp_path, model, budget) == name


def test_a_default_name_counts_on(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        names.append(free_name(tmp_path, "digits_net", "0.5flops"))
        create_run(tmp_path, names[-1])
    assert names == ["digits_net-0.5flops", "digits_net-0.5flops-2", "digits_net-0.5flops-3"]


def test_a_run_opens_by_name_and_by_path(tmp_path: Path) -> None:
    path = started(tmp_path / "runs", "mine")
    assert open_run(tmp_path / "runs", "mine").path == path
    assert open_run(tmp_path / "other", str(path)).path == path


def test_a_missing_run_is_refused_with_the_nearest_names(tmp_path: Path) -> None:
    started(tmp_path, "mobilenet_v2-0.25flops")
    with pytest.raises(RunError, match=r"Did you mean mobilenet_v2-0\.25flops"):
        open_run(tmp_path, "mobilnet_v2-0.25flops")
    with pytest.raises(RunError, match=r"There are: mobilenet_v2-0\.25flops"):
        open_run(tmp_path, "zzz")
    with pytest.raises(RunError, match="automl search"):
        open_run(tmp_path / "none", "zzz")


def test_a_folder_without_a_config_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "stray").mkdir()
    assert run_names(tmp_path) == []
    with pytest.raises(RunError, match=r"holds config\.toml"):
        open_run(tmp_path, "stray")


HOLD = """
import sys, pathlib
from automl.store.run import Run
with Run(pathlib.Path(sys.argv[1])).locked():
    sys.stdout.write("locked\\n"); sys.stdout.flush()
    sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    run = create_run(tmp_path, "mine")
    command = [sys.executable, "-c", HOLD, str(run.path)]
    root = Path(automl.__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(RunError, match=f"process {process.pid} on .* has 'mine' open"), run.locked():
            pass
        process.kill()
    with run.locked():
        pass


def test_a_released_run_can_be_locked_again(tmp_path: Path) -> None:
    run = create_run(tmp_path, "mine")
    for _ in range(2):
        with run.locked(), pytest.raises(RunError), run.locked():
            pass


def test_a_run_appears_with_its_first_files_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create_run(tmp_path, "whole", {"config.toml": "trials = 3\n"})
    assert run.config.read_text() == "trials = 3\n"
    assert sorted(path.name for path in run.path.iterdir()) == ["best", "config.toml", "plots", "state"]

    def full(_: int) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        create_run(tmp_path, "half", {"config.toml": "trials = 3\n"})
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_what_a_kill_left_of_a_run_that_was_being_made_is_no_run(tmp_path: Path) -> None:
    (tmp_path / ".mine.x").mkdir()
    (tmp_path / ".mine.x" / "config.toml").write_text("")
    assert run_names(tmp_path) == []
    assert create_run(tmp_path, "mine").name == "mine"


@pytest.mark.parametrize(
    "place", ["manifest.json", "study.db", "log.txt", "state", "best", "state/deep/baseline.safetensors"]
)
def test_a_run_that_holds_a_link_is_refused(tmp_path: Path, place: str) -> None:
    path = started(tmp_path / "runs", "mine") / place
    path.parent.mkdir(exist_ok=True)
    if path.is_dir():
        path.rmdir()
    path.symlink_to(tmp_path)
    with pytest.raises(RunError, match=f"{place} is a link or a device"):
        open_run(tmp_path / "runs", "mine")


def test_a_run_that_holds_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(started(tmp_path, "mine") / "manifest.json")
    with pytest.raises(RunError, match="is a link or a device"):
        open_run(tmp_path, "mine")
