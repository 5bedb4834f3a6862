"""How a long job speaks to whoever started it."""

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from automl.report.progress import Progress


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a job says, and the one question that it asks."""

    console: Console
    """For people: stderr."""
    progress: Progress
    """Phases and steps, live."""
    stop: Callable[[], bool]
    """Whether the user wants to stop."""

    def say(self, text: str) -> None:
        """Shows one line."""
        self.console.print(Text(text), soft_wrap=not self.console.is_terminal)
