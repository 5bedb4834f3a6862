"""A limit on the time of one trial: code of the user's that hangs must not end a search of hours."""

import faulthandler
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from automl.core.errors import SearchError

_LAST_RESORT = 2
"""After so many times the limit, a process that does not even hear the alarm is ended."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Ends the body after so many seconds; outside the main thread, which alone hears alarms, it does nothing.

    A call that never returns to Python does not hear them either. Its process is ended at twice the time, with its
    stack on stderr; the next session finds the trial as one of a lost worker.

    Raises:
        SearchError: If the body takes longer.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise SearchError(f"A trial may take {seconds:g} s (`--trial-time`), but this one has not ended by then.")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    if sys.__stderr__ is not None:  # what stands in for it in a notebook is no file
        faulthandler.dump_traceback_later(_LAST_RESORT * seconds, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)
