"""Names that lead out of the folder of runs, or that a terminal would obey."""

from pathlib import Path

import pytest

from automl.pipeline.working import WORKERS
from automl.store.address import StudyAddress
from automl.store.run import Run
from automl.store.study import open_study
from tests.hostile.door import Door
from tests.hostile.network import SPEC

NAMES = (
    "",
    ".",
    "..",
    "../up",
    "../../etc/cron.d/x",
    "a/b",
    "/tmp/abs",
    "/",
    "~",
    ".hidden",
    "-flag",
    "a b",
    "a\n",
    "a\nerror: other",
    "a\x1b[2J",
    "a\x07",
    "\u202ea",
    "\u00e4",
    "x" * 65,
    "x" * 5000,
    "CON:",
    "a\\b",
    "a;rm -rf",
    "$(x)",
    "\udce9",
)
READERS = ("status", "show", "resume", "export", "finetune")


@pytest.mark.parametrize("name", NAMES, ids=lambda text: ascii(text)[:30])
def test_a_new_run_is_not_called_so(door: Door, name: str) -> None:
    assert "A run name has" in door.refused("search", f"--model={SPEC}", "--budget=0.5flops", f"--name={name}")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("-flag", "~")], ids=lambda x: ascii(x)[:30])
@pytest.mark.parametrize("command", ["status", "resume"])
def test_no_run_is_found_under_it(door: Door, command: str, name: str) -> None:
    door.refused(command, "--", name)


@pytest.mark.parametrize("name", ["../../../up", "/abs", "a/b", ".hidden", "a\x1b[2J", "x" * 65])
def test_a_study_that_others_share_is_not_called_so(door: Door, name: str) -> None:
    shared = f"--storage=sqlite:///{door.home}/shared.db"
    door.refused("search", f"--model={SPEC}", "--budget=0.5flops", shared, f"--name={name}")


@pytest.mark.parametrize("name", ["../../../up", "/abs", "a/b", "", "a\x1b[2J", "mine"])
def test_a_worker_makes_no_file_for_a_study_that_is_not_there(door: Door, name: str) -> None:
    door.refused("worker", f"--storage=sqlite:///{door.home}/shared.db", f"--study={name}")


STORAGES = (
    "",
    "nonsense",
    "mysql://host/db",
    "sqlite://",
    "sqlite:///:memory:",
    "postgresql://me:secret@",
    "postgresql://[::1",
    "postgresql://h:99999999/d",
    "sqlite:////dev/null",
    "sqlite:////proc/x/y",
    "sqlite:///" + "x" * 5000,
    "sqlite:///a\x1b[2J/b",
    "file:///etc/passwd",
    "oracle+evil_driver://host/db",
)


@pytest.mark.parametrize("storage", STORAGES, ids=lambda text: ascii(text)[:30])
@pytest.mark.parametrize("command", [("worker", "--study=mine"), ("search", "--budget=0.5flops", "--name=mine")])
def test_what_is_no_database_is_refused(door: Door, command: tuple[str, ...], storage: str) -> None:
    assert "secret" not in door.refused(*command, f"--storage={storage}")


PLACES = (
    "manifest.json",
    "config.toml",
    "study.db",
    "study.db-wal",
    "device.json",
    "log.txt",
    "run.lock",
    "trials.csv",
    "report.html",
    "state",
    "state/baseline.safetensors",
    "state/sensitivity.json",
    "state/agent",
    "best",
    "best/policy.json",
    "best/model.onnx",
    "plots",
    "exports",
    "tensorboard",
)


def lead_out(run: Run, place: str, outside: Path) -> None:
    """Moves what lies at `place` out of the run, and puts a link there."""
    path = run.path / place
    if path.exists():
        path.rename(outside)
    elif "." in path.name:
        outside.write_bytes(b"")
    else:
        outside.mkdir()
    path.symlink_to(outside)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", ["status", "resume"])
def test_a_run_that_leads_out_of_its_folder_is_refused(door: Door, run: Run, command: str, place: str) -> None:
    lead_out(run, place, door.home / "outside")
    assert place in door.refused(command, "mine", *(["--model", SPEC] if command == "resume" else []))


@pytest.mark.parametrize("command", ["show", "export", "finetune"])
def test_other_commands_refuse_it_too(door: Door, run: Run, command: str) -> None:
    lead_out(run, "best", door.home / "outside")
    assert "is a link" in door.refused(command, "mine")


def test_a_link_that_leads_nowhere_or_round_is_refused(door: Door, run: Run) -> None:
    (run.path / "nowhere").symlink_to("/nowhere/at/all")
    door.refused("status", "mine")
    (run.path / "nowhere").unlink()
    (run.path / "round").symlink_to("round")
    door.refused("status", "mine")


def test_one_such_run_does_not_hide_the_others(door: Door, run: Run) -> None:
    lead_out(run, "best", door.home / "outside")
    code, out, _ = door.survived("status")
    assert code == 0
    assert "unreadable" in out


def test_a_worker_does_not_follow_a_link_to_somewhere_else(door: Door) -> None:
    storage = f"sqlite:///{door.home}/shared.db"
    with open_study(StudyAddress.parse(storage, "mine")):
        pass
    (door.home / "outside").mkdir()
    (door.home / "runs" / WORKERS).mkdir(parents=True)
    (door.home / "runs" / WORKERS / "mine").symlink_to(door.home / "outside")
    assert "is a link" in door.refused("worker", f"--storage={storage}", "--study=mine")
