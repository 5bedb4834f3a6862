"""A run: one folder that holds everything about one search and survives a kill at any instant."""

import difflib
import fcntl
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import MappingProxyType

from automl.core.errors import RunError
from automl.store.files import umask, unwritable, write_text

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LONGEST_STEM = 58  # leaves room for the counter


@dataclass(frozen=True, slots=True)
class Run:
    """The folder of one run, and where each thing lies in it."""

    path: Path
    """The folder."""

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    @property
    def config(self) -> Path:
        """What was asked, resolved: `RunConfig` as TOML."""
        return self.path / "config.toml"

    @property
    def manifest(self) -> Path:
        """Where it ran, and on what: `Manifest` as JSON."""
        return self.path / "manifest.json"

    @property
    def study_db(self) -> Path:
        """The trials, in SQLite."""
        return self.path / "study.db"

    @property
    def trials_csv(self) -> Path:
        """The trials, as a table."""
        return self.path / "trials.csv"

    @property
    def state(self) -> Path:
        """Folder of what a resumed run picks up: checkpoints, profiles, cached baselines."""
        return self.path / "state"

    @property
    def device(self) -> Path:
        """Times on the device that a latency budget is about; missing where there is no such budget."""
        return self.path / "device.json"

    @property
    def log(self) -> Path:
        """The log file."""
        return self.path / "log.txt"

    @property
    def best(self) -> Path:
        """Folder of the result."""
        return self.path / "best"

    @property
    def policy(self) -> Path:
        """The winning compression policy as JSON."""
        return self.best / "policy.json"

    @property
    def weights(self) -> Path:
        """Weights of the compressed network."""
        return self.best / "model.safetensors"

    @property
    def onnx(self) -> Path:
        """The exported network."""
        return self.best / "model.onnx"

    @property
    def metrics(self) -> Path:
        """What the result is worth: `Metrics` as JSON."""
        return self.best / "metrics.json"

    @property
    def answers(self) -> Path:
        """What each network of the result answered to each test image."""
        return self.best / "answers.safetensors"

    @property
    def details(self) -> Path:
        """What the report tells beside the result and the trials, as JSON."""
        return self.state / "report.json"

    @property
    def plots(self) -> Path:
        """Folder of the SVG plots."""
        return self.path / "plots"

    @property
    def curves(self) -> Path:
        """Folder of the event files for TensorBoard, where they were asked for."""
        return self.path / "tensorboard"

    @property
    def report_html(self) -> Path:
        """The report, in one file."""
        return self.path / "report.html"

    def files(self) -> dict[str, Path]:
        """What is there of `onnx`, `weights`, `policy`, `metrics`, `report`, `trials` and `log`, by these names."""
        paths = {
            "onnx": self.onnx,
            "weights": self.weights,
            "policy": self.policy,
            "metrics": self.metrics,
            "report": self.report_html,
            "trials": self.trials_csv,
            "log": self.log,
        }
        return {name: path for name, path in paths.items() if path.is_file()}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps every other process out of this run; the kernel lets go when this one ends, however it ends.

        Raises:
            RunError: If another process works on the run, or the folder cannot be written.
        """
        path = self.path / "run.lock"
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise unwritable(path, error) from error
        try:
            _lock(handle, path)
            yield
        finally:
            os.close(handle)


def create_run(runs: Path, name: str, files: Mapping[str, str] = MappingProxyType({})) -> Run:
    """Makes the folder `runs/name` with its first files in it, whole or not at all.

    Args:
        runs: Folder of all runs.
        name: Of the new one.
        files: Name -> content.

    Raises:
        RunError: If the name breaks the rule or is taken, or the folder cannot be made.
        StorageError: If the disk is full.
    """
    path = checked_path(runs, name)
    aside: Path | None = None
    try:
        runs.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=runs))
        aside.chmod(0o777 & ~umask())
        for folder in ("state", "best", "plots"):
            (aside / folder).mkdir()
        for file, content in files.items():
            write_text(aside / file, content)
        if os.path.lexists(path):  # an empty folder would be replaced
            raise _taken(runs, name)
        aside.rename(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
    return Run(path.resolve())


def check_free(runs: Path, name: str) -> None:
    """Refuses what `create_run` would refuse by its name, without making anything; raises `RunError`."""
    if os.path.lexists(checked_path(runs, name)):
        raise _taken(runs, name)


def open_run(runs: Path, name: str) -> Run:
    """Finds an existing run.

    Args:
        runs: Folder of all runs.
        name: Name of a run in `runs`, or path of a run folder anywhere.

    Raises:
        RunError: If there is no such run (the nearest names are offered), or it holds links.
    """
    path = runs / name if _NAME.fullmatch(name) else Path(name)
    if not path.is_dir() and Path(name).is_dir():
        path = Path(name)
    if not path.is_dir():
        near = difflib.get_close_matches(name, run_names(runs), cutoff=0.5)
        way_out = f"Did you mean {' or '.join(near)}?" if near else _existing(runs)
        raise RunError(f"A run must exist, but {name!r} does not, neither in {runs} nor as a path. {way_out}")
    run = Run(path.resolve())
    if not run.config.is_file():
        raise RunError(
            f"A run folder holds config.toml, but {path} does not. Name a run, or start one with `automl search`."
        )
    check_own(run)
    return run


def check_own(run: Run) -> None:
    """Refuses a run that holds links or devices: what is written into it would be written somewhere else.

    Raises:
        RunError: If there is one, in any folder of the run.
    """
    folders = [run.path]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry))
                elif not entry.is_file(follow_symlinks=False):
                    raise RunError(
                        f"A run folder holds files and folders of its own, but {entry.path} is a link or a device. "
                        "Put what it leads to in its place, or take it away."
                    )


def run_names(runs: Path) -> list[str]:
    """Names of the runs in `runs`, sorted."""
    if not runs.is_dir():
        return []
    return sorted(
        path.name for path in runs.iterdir() if _NAME.fullmatch(path.name) and (path / "config.toml").is_file()
    )


def free_name(runs: Path, model: str, budget: str) -> str:
    """A name for a new run that says what it is: `mobilenet_v2-0.25flops`, then `mobilenet_v2-0.25flops-2`.

    Args:
        runs: Folder of all runs.
        model: Model spec, such as `torchvision:mobilenet_v2`.
        budget: Budget as the user wrote it.
    """
    said = f"{re.split('[:/]', model)[-1]}-{budget}"
    stem = re.sub(r"[^A-Za-z0-9._]+", "-", said).strip("-._")[:_LONGEST_STEM] or "run"
    names = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
    return next(name for name in names if not os.path.lexists(runs / name))


def check_name(name: str) -> None:
    """Refuses what is no name of a run; raises `RunError`."""
    if not _NAME.fullmatch(name):
        raise RunError(
            f"A run name has 1 to 64 letters, digits, dots, dashes and underscores, starts with a letter or digit "
            f"and holds no path, but got {name!r}. Choose another with `--name`."
        )


def checked_path(runs: Path, name: str) -> Path:
    """Where the run of this name lies, or will; raises `RunError` where that is no name or leads somewhere else."""
    check_name(name)
    path = runs / name
    if path.resolve().parent != runs.resolve():
        raise RunError(f"A run lies in its folder of runs, but {path} is a link to {path.resolve()}. Name another.")
    return path


def _taken(runs: Path, name: str) -> RunError:
    return RunError(
        f"A new run needs a new name, but {name!r} exists in {runs}. "
        f"Choose another with `--name`, or go on with it: `automl resume {name}`."
    )


def _existing(runs: Path) -> str:
    names = run_names(runs)
    return f"There are: {', '.join(names[:8])}." if names else "Start one with `automl search`."


def _lock(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(handle, 128).decode(errors="replace").strip() or "unknown"
        raise RunError(
            f"One process at a time leads a run, but process {holder} has {path.parent.name!r} open. "
            "Wait for it, stop it, or start another run with `--name`."
        ) from error
    try:
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()} on {socket.gethostname()}\n".encode())
    except OSError as error:
        raise unwritable(path, error) from error
