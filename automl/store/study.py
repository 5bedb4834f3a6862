"""Optuna studies, in a file that survives a kill or in a database that several machines share."""

import difflib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from automl.core.errors import RunError, StorageError
from automl.store.address import StudyAddress
from automl.store.bulk import BulkStorage
from automl.store.sqlite import damage


@contextmanager
def open_study(address: StudyAddress, *, make: bool = True) -> Iterator[optuna.Study]:
    """Opens a study, and closes its database at the end.

    Args:
        address: Where it is.
        make: Whether it is made if it is not there yet.

    Raises:
        RunError: If the database cannot be opened, is damaged or is none of Optuna's, or has no such study.
        StorageError: If, inside the `with` block, the disk or the server refuses a trial.
    """
    # Below that level Optuna speaks of each trial, and of an optional package that makes the GP faster.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = _opened(address)
    try:
        yield _found(storage, address, make)
    except (SQLAlchemyError, StorageInternalError) as error:
        raise StorageError(
            f"The trials must be readable and writable, but {address} refused: {_cause(error)}. Free some space or "
            "check the disk and the server, then go on with `automl resume`; what was written before is whole."
        ) from error
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _opened(address: StudyAddress) -> BulkStorage:
    if address.path is not None:
        reason = damage(address.path)
        if reason is not None:
            _refuse(address, reason)
    # Of a file the URL only names the dialect: Optuna would read braces and question marks of a path in it.
    url = "sqlite:///study.db" if address.path is not None else address.url.render_as_string(hide_password=False)
    try:
        return _with_tables(url, address)
    except RuntimeError as error:  # The tables are those of another version of Optuna.
        _refuse(address, str(error))
    except (SQLAlchemyError, StorageInternalError) as error:
        raise RunError(
            f"The database of the trials must answer, but {address} does not: {_cause(error)}. Check the path or the "
            "URL, and that the server runs and knows you."
        ) from error


def _with_tables(url: str, address: StudyAddress) -> BulkStorage:
    """The database, with Optuna's tables, which another process may be making at this moment."""
    for pause_s in (0.1, 0.5, 2.0):
        try:
            return BulkStorage(url, engine_kwargs=address.engine_settings)
        except DBAPIError as error:
            if "already exists" not in str(error):
                raise
            time.sleep(pause_s)
    return BulkStorage(url, engine_kwargs=address.engine_settings)


def _found(storage: BulkStorage, address: StudyAddress, make: bool) -> optuna.Study:
    if make:
        return optuna.create_study(storage=storage, study_name=address.name, direction="minimize", load_if_exists=True)
    try:
        return optuna.load_study(storage=storage, study_name=address.name)
    except KeyError as error:
        names = optuna.get_all_study_names(storage)
        near = difflib.get_close_matches(address.name, names) or names[:8]
        way_out = (
            f"There are: {', '.join(near)}." if near else "Begin one with `automl search --storage ... --name ...`."
        )
        raise RunError(f"A study must exist, but {address} has none called {address.name!r}. {way_out}") from error


def _refuse(address: StudyAddress, reason: str) -> NoReturn:
    raise RunError(
        f"A run's study must be an undamaged Optuna database, but {address} is not: {reason}. "
        "Put a good copy back, or start a new run with `automl search`."
    )


def _cause(error: BaseException) -> str:
    """The database's own words, under the layers that wrap them, in one line."""
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return " ".join(str(cause).split())
