"""Live progress: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Column
from rich.text import Text

from automl.core.terminal import printable

_LEAST_SECONDS_APART = 1.0
"""Plain lines come at most this often, apart from the last of a phase."""


class Progress:
    """Shows which phase runs, how far it is, what the caller says of it, and the time left."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        """Shows nothing yet.

        Args:
            console: Where to show it; a bar if it is a terminal, else a line per step.
            clock: Seconds from any start.
        """
        self._console = console
        self._clock = clock
        self._bar = _bar(console) if console.is_terminal else None
        self._task: TaskID | None = None
        self._name, self._total = "", 0
        self._first = self._done = 0
        self._started = self._last_line = 0.0

    def __enter__(self) -> Self:
        """Starts the live display."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the live display; the phases stay on the screen."""
        if self._bar is not None:
            self._bar.stop()

    def phase(self, name: str, total: int, done: int = 0) -> None:
        """Begins a phase; the one before it is over, unless it has the same name: then its count is corrected.

        Args:
            name: What it does, such as `Search`.
            total: Steps in all.
            done: Steps that an earlier session has taken.
        """
        same = self._name == name
        self._name, self._total, self._first, self._done = name, total, done, done
        self._started, self._last_line = self._clock(), float("-inf")
        if self._bar is None:
            return
        if self._task is not None and same:
            self._bar.reset(self._task, total=total, completed=done, message="")
            return
        if self._task is not None:
            self._bar.stop_task(self._task)
        self._task = self._bar.add_task(name, total=total, completed=done, message="")

    def advance(self, message: str = "") -> None:
        """Counts one step of the phase, and says something of it."""
        self._done += 1
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, message=printable(message))
        elif self._due():
            self._last_line = self._clock()
            self._console.print(Text(printable(self._line(message))), soft_wrap=True)

    def _due(self) -> bool:
        return self._done >= self._total or self._clock() - self._last_line >= _LEAST_SECONDS_APART

    def _line(self, message: str) -> str:
        said = f": {message}" if message else ""
        return f"{self._name} {self._done}/{self._total}{said}{self._time_left()}"

    def _time_left(self) -> str:
        left = self._total - self._done
        if left <= 0:
            return ""
        seconds = round((self._clock() - self._started) / (self._done - self._first) * left)
        return f" ({seconds // 60}:{seconds % 60:02d} left)"


def _bar(console: Console) -> RichProgress:
    return RichProgress(
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, min_width=9)),
        BarColumn(bar_width=12),
        MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=5)),
        TimeRemainingColumn(elapsed_when_finished=True, table_column=Column(no_wrap=True, min_width=7)),
        # What does not fit is cut here, and nowhere else.
        TextColumn(
            "{task.fields[message]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
        ),
        console=console,
        expand=True,
    )
