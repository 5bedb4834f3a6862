"""Who may use this machine's processor: many that compute, or one that measures how long something takes.

A latency that is measured while searches compute beside it is that of another machine. The locks are files of the
system's temporary folder, and the kernel lets go of them when a process ends, however it ends.
"""

import fcntl
import getpass
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from automl.core.errors import StorageError


def computing() -> AbstractContextManager[None]:
    """Waits until nobody of this user measures latencies on this machine, and keeps them waiting meanwhile."""
    return _turn(fcntl.LOCK_SH)


def measuring() -> AbstractContextManager[None]:
    """Waits until no evaluation of this user runs on this machine, and lets none begin meanwhile."""
    return _turn(fcntl.LOCK_EX)


@contextmanager
def _turn(kind: int) -> Iterator[None]:
    with _open("gate") as gate, _open("machine") as machine:
        # Whoever wants to measure holds the gate while it waits, so that no new computation starts before it.
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(machine, kind)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


@contextmanager
def _open(name: str) -> Iterator[int]:
    path = Path(tempfile.gettempdir()) / f"automl-{getpass.getuser()}-{name}.lock"
    try:
        # No link is followed: anyone may put one into a folder that all users share.
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StorageError(
            f"Processes take turns by {path}, but it cannot be opened: {error.strerror}. Delete it, or set TMPDIR."
        ) from error
    try:
        yield handle
    finally:
        os.close(handle)
