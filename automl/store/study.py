"""Optuna studies, in a file that survives a kill or in a database that several machines share."""

import difflib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from automl.core.errors import AutoMLError, RunError, StorageError
from automl.store.address import StudyAddress
from automl.store.bulk import BulkStorage
from automl.store.checking import check_trials
from automl.store.sqlite import damage
from automl.store.workers import workers


@contextmanager
def open_study(address: StudyAddress, *, make: bool = True) -> Iterator[optuna.Study]:
    """Opens a study, and closes its database at the end.

    Args:
        address: Where it is.
        make: Whether it is made if it is not there yet.

    Raises:
        RunError: If the database cannot be opened, is damaged or is none of Optuna's, has no such study, or holds a
            trial that we have not written.
        StorageError: If the disk is full, or, inside the `with` block, the disk or the server refuses a trial.
    """
    # Below that level Optuna speaks of each trial, and of an optional package that makes the GP faster.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if not make:
        _refuse_missing(address)
    storage = _opened(address)
    try:
        yield _checked(storage, address, make)
    except (SQLAlchemyError, StorageInternalError) as error:
        raise _unanswered(address, error) from error
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _opened(address: StudyAddress) -> BulkStorage:
    if address.path is not None:
        reason = damage(address.path)
        if reason is not None:
            _refuse(address, reason)
    try:
        return _with_tables(address)
    except RuntimeError as error:  # The tables are those of another version of Optuna.
        _refuse(address, str(error))
    except (SQLAlchemyError, StorageInternalError) as error:
        raise _unopened(address, error) from error


def _checked(storage: BulkStorage, address: StudyAddress, make: bool) -> optuna.Study:
    """The study, whose trials can be read and are as we write them."""
    try:
        study = _found(storage, address, make)
        if len(study.directions) != 1:
            raise ValueError("it has several objectives")
        check_trials(study.get_trials(deepcopy=False))
        workers(study)  # reads the rest
    except AutoMLError:
        raise
    except (SQLAlchemyError, StorageInternalError) as error:
        raise _unopened(address, error) from error
    except Exception as error:  # rows that are not Optuna's make it raise anything
        _refuse(address, f"{type(error).__name__}: {error}")
    return study


def _refuse_missing(address: StudyAddress) -> None:
    """To look for a study in a file that is not there would make the file."""
    if address.path is not None and not (address.path.is_file() and address.path.stat().st_size):
        raise _no_study(address, [])


def _with_tables(address: StudyAddress) -> BulkStorage:
    """The database, with Optuna's tables, which another process may be making at this moment."""
    for pause_s in (0.1, 0.5, 2.0):
        try:
            return BulkStorage(address.engine_url, engine_kwargs=address.engine_settings)
        except DBAPIError as error:
            if "already exists" not in str(error):
                raise
            time.sleep(pause_s)
    return BulkStorage(address.engine_url, engine_kwargs=address.engine_settings)


def _found(storage: BulkStorage, address: StudyAddress, make: bool) -> optuna.Study:
    if make:
        return optuna.create_study(storage=storage, study_name=address.name, direction="minimize", load_if_exists=True)
    try:
        return optuna.load_study(storage=storage, study_name=address.name)
    except KeyError as error:
        raise _no_study(address, optuna.get_all_study_names(storage)) from error


def _no_study(address: StudyAddress, names: Sequence[str]) -> RunError:
    near = difflib.get_close_matches(address.name, names) or names[:8]
    way_out = f"There are: {', '.join(near)}." if near else "Begin one with `automl search --storage ... --name ...`."
    return RunError(f"A study must exist, but {address} has none called {address.name!r}. {way_out}")


def _unopened(address: StudyAddress, error: Exception) -> AutoMLError:
    """The refusal of a database that cannot be opened: the user's mistake, unless the disk is full."""
    if _is_full(error):
        return _unanswered(address, error)
    return RunError(
        f"The database of the trials must answer, but {address} does not: {_cause(error)}. Check the path or the "
        "URL, and that the server runs and knows you."
    )


def _unanswered(address: StudyAddress, error: Exception) -> StorageError:
    return StorageError(
        f"The trials must be readable and writable, but {address} refused: {_cause(error)}. Free some space or "
        "check the disk and the server, then go on with `automl resume`; what was written before is whole."
    )


def _is_full(error: Exception) -> bool:
    """Whether SQLite says that the disk takes no more; extended codes have the plain one in their last byte."""
    code = getattr(_innermost(error), "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def _refuse(address: StudyAddress, reason: str) -> NoReturn:
    raise RunError(
        f"A run's study must be an undamaged Optuna database, but {address} is not: {reason}. "
        "Put a good copy back, or start a new run with `automl search`."
    )


def _cause(error: BaseException) -> str:
    """The database's own words, under the layers that wrap them, in one line."""
    return " ".join(str(_innermost(error)).split())


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
