"""One job at the command line: live progress on stderr, and Ctrl-C that stops after the running step."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from automl.cli.allocator import keep_freed_memory
from automl.cli.outcome import AT_ONCE
from automl.cli.ranks import helpers
from automl.core.errors import InterruptedRunError

if TYPE_CHECKING:
    from automl.pipeline.conversation import Conversation


class StopFlag:
    """Raised by the first Ctrl-C or SIGTERM; the second one interrupts at once."""

    def __init__(self) -> None:
        """Not raised."""
        self._raised = False

    def __call__(self) -> bool:
        """Whether the user wants to stop."""
        return self._raised

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        if self._raised:
            raise KeyboardInterrupt
        self._raised = True


@contextmanager
def conversation() -> Iterator["Conversation"]:
    """Shows progress on stderr while the body runs, in a process that is the job's own."""
    keep_freed_memory()
    from rich.console import Console  # takes a tenth of a second, which `--help` does not need

    from automl.pipeline.conversation import Conversation
    from automl.report.progress import Progress

    console = Console(stderr=True, highlight=False)
    flag = StopFlag()
    before = {number: signal.signal(number, flag.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Progress(console) as progress:
            yield Conversation(console, progress, flag, helpers())
    except KeyboardInterrupt as interrupt:
        raise _at_once(interrupt) from interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _at_once(interrupt: KeyboardInterrupt) -> InterruptedRunError:
    """The same as a refusal: typer would forget what a KeyboardInterrupt says of the run."""
    stopped = InterruptedRunError(AT_ONCE)
    for note in getattr(interrupt, "__notes__", ()):
        stopped.add_note(note)
    return stopped
