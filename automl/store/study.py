"""The Optuna study of a run, in one SQLite file that survives a kill."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from automl.core.errors import RunError

STUDY_NAME = "search"
_LOCK_TIMEOUT_S = 60
_log = logging.getLogger(__name__)


@contextmanager
def open_study(path: Path) -> Iterator[optuna.Study]:
    """Opens the study in `path`, made if it is not there yet, and closes the file at the end.

    Reading needs no lock; to add trials, hold the run's lock and `reap` first.

    Raises:
        RunError: If the file is damaged or is not a study, or, inside the `with` block, if the disk refuses a trial.
    """
    # Below that level Optuna speaks of each trial, and of an optional package that makes the GP faster.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _check_file(path)
    storage: RDBStorage | None = None
    try:
        storage = _storage(path)
        study = optuna.create_study(storage=storage, study_name=STUDY_NAME, direction="minimize", load_if_exists=True)
        yield study
    except (SQLAlchemyError, StorageInternalError) as error:
        raise RunError(
            f"The trials must be readable and writable, but {path} refused: {_cause(error)}. "
            "Free some space or check the disk, then go on with `automl resume`; what was written before is whole."
        ) from error
    finally:
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


def reap(study: optuna.Study) -> int:
    """Tells every running trial failed and returns how many there were.

    Only the holder of the run's lock may call it, before its first trial: whatever runs then was left by a
    process that was killed.
    """
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for trial in running:
        study.tell(trial.number, state=TrialState.FAIL)
    if running:
        _log.warning("%d trial(s) of a killed process are counted as failed.", len(running))
    return len(running)


def _storage(path: Path) -> RDBStorage:
    # The URL only names the dialect: Optuna would read braces and question marks of a path in it.
    try:
        return RDBStorage("sqlite:///study.db", engine_kwargs={"creator": partial(_connect, path)})
    except RuntimeError as error:  # The tables are those of another version of Optuna.
        raise _unusable(path, str(error)) from error


def _connect(path: Path) -> sqlite3.Connection:
    # The pool, not the thread, says who uses a connection.
    connection = sqlite3.connect(path, timeout=_LOCK_TIMEOUT_S, check_same_thread=False)
    # A write-ahead log makes a commit survive a kill at a third of the time.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _check_file(path: Path) -> None:
    """Refuses a damaged or foreign file, before Optuna adds its tables to it."""
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        with closing(sqlite3.connect(path, timeout=_LOCK_TIMEOUT_S)) as connection:
            verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError as error:
        raise _unusable(path, str(error)) from error
    if verdict != "ok":
        raise _unusable(path, verdict)
    # A kill while the tables are made leaves some of them.
    if tables and not tables & {"studies", "version_info"}:
        raise _unusable(path, f"it holds other tables, such as {min(tables)!r}")


def _unusable(path: Path, reason: str) -> RunError:
    return RunError(
        f"A run's study must be an undamaged Optuna database, but {path} is not: {reason}. "
        "Put a good copy back, or start a new run with `automl search`."
    )


def _cause(error: BaseException) -> BaseException:
    """The database's own words, under the layers that wrap them."""
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return cause
