"""`torchrun -m automl ...`: one process leads and is the ordinary program, the others help it to train."""

import os
import signal
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from automl.cli.allocator import keep_freed_memory
from automl.core.errors import LostProcessError

if TYPE_CHECKING:
    from automl.pipeline.helpers import Helpers

_TRAINING = frozenset({"search", "resume", "finetune", "train"})
"""Commands that others can help with."""
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def run_as_rank(arguments: Sequence[str], program: Callable[[], int]) -> int:
    """Runs `program` in the process that leads, which mostly is the only one; returns the exit code.

    The others help it where the command trains, and else end at once: none of them says or writes anything.

    Args:
        arguments: The command line, the name of the program included.
        program: Returns the exit code.
    """
    rank, size = _rank_and_size()
    trains = any(word in _TRAINING for word in arguments[1:2]) and "--help" not in arguments
    if size == 1 or (rank == 0 and not trains):
        return program()
    if not trains:
        return 0
    return _lead(program, size) if rank == 0 else _help(rank, size)


def helpers() -> "Helpers | None":
    """The processes that this one leads; None where there are none. Raises `LostProcessError`."""
    rank, size = _rank_and_size()
    return _led(size) if rank == 0 and size > 1 else None


def _lead(program: Callable[[], int], size: int) -> int:
    # A job listens to it. After one it would end this process, where another has failed, before this one has said so.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        return program()
    finally:
        # Also after a refusal: they wait.
        with suppress(LostProcessError):
            _led(size).dismiss()


def _led(size: int) -> "Helpers":
    from automl.pipeline.helpers import launched  # torch takes seconds

    return launched(size)


def _help(rank: int, size: int) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # all processes get them, and the leader says when all of them stop
    warnings.simplefilter("ignore")  # the leader warns, once
    keep_freed_memory()
    from automl.pipeline.helpers import meeting_place
    from automl.pipeline.helping import serve

    try:
        store = meeting_place()
    except LostProcessError:
        return 1
    return serve(store, rank, size, int(os.environ.get("LOCAL_RANK", "0")))


def _rank_and_size() -> tuple[int, int]:
    """Which process of a launch this is, and of how many; (0, 1) where it was not launched with others."""
    values = [os.environ.get(name, "") for name in _VARIABLES]
    # Other launchers set some of them, for purposes of their own.
    if not all(values) or not (values[0].isdecimal() and values[1].isdecimal()):
        return 0, 1
    rank, size = int(values[0]), int(values[1])
    return (rank, size) if rank < size else (0, 1)
