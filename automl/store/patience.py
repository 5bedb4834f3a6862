"""Patience with a database that does not answer: a server that restarts must not end a search of hours."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError

_LONGEST_PAUSE_S = 20.0
_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")


class Patience:
    """Calls again what failed because the database did not answer, for a while."""

    def __init__(self, seconds: float, give_up: Callable[[], bool] = lambda: False) -> None:
        """With so many seconds for each call; 0 for a database that is a file, which either answers or is broken.

        Args:
            seconds: From the first failure of a call to the last attempt.
            give_up: Asked before each further attempt.
        """
        self._seconds, self._give_up = seconds, give_up
        self.tried = 0
        """Attempts of the running call that failed: some of what it does may have been done."""

    def __call__(self, work: Callable[[], _Result]) -> _Result:
        """What `work` returns, once the database answers; the last failure where it does not in time."""
        self.tried, began = 0, time.monotonic()
        while True:
            try:
                return work()
            except (DBAPIError, StorageInternalError) as error:
                if time.monotonic() - began >= self._seconds or self._give_up():
                    raise
                self.tried += 1
                pause = min(0.25 * 2**self.tried, _LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)
                _log.warning("The database does not answer (%s); trying again in %.1f s.", _first_line(error), pause)
                time.sleep(pause)


def _first_line(error: Exception) -> str:
    return str(error.__cause__ or error).splitlines()[0]
