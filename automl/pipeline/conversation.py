"""How a long job speaks to whoever started it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from automl.core.terminal import printable
from automl.pipeline.helpers import Helpers
from automl.report.progress import Progress
from automl.report.quantity import percent
from automl.training.loop import EpochReport


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a job says, and the one question that it asks."""

    console: Console
    """For people: stderr."""
    progress: Progress
    """Phases and steps, live."""
    stop: Callable[[], bool]
    """Whether the user wants to stop."""
    helpers: Helpers | None = None
    """Processes that were started beside this one to train along."""

    @classmethod
    def silent(cls) -> "Conversation":
        """Nobody listens, and nobody stops it."""
        console = Console(quiet=True)
        return cls(console, Progress(console), lambda: False)

    def say(self, text: str) -> None:
        """Shows one line."""
        self.console.print(Text(printable(text)), soft_wrap=not self.console.is_terminal)

    def epochs(self, name: str, total: int) -> Callable[[EpochReport], None]:
        """Begins a phase of training; what it returns shows each epoch, wherever a resumed training goes on."""
        self.progress.phase(name, total)
        shown = False

        def show(report: EpochReport) -> None:
            nonlocal shown
            if not shown and report.epoch > 1:
                self.progress.phase(name, total, report.epoch - 1)
            shown = True
            self.progress.advance(f"loss {report.loss:.3f}, selection {percent(report.accuracy)}")

        return show


@contextmanager
def narrated(*, verbose: bool) -> Iterator[Conversation]:
    """What a caller in Python hears while the body runs: progress on stderr, or nothing; exceptions alone stop it."""
    if not verbose:
        yield Conversation.silent()
        return
    console = Console(stderr=True, highlight=False)
    with Progress(console) as progress:
        yield Conversation(console, progress, lambda: False)
