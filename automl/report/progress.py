"""Live progress: a view of the whole job on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from automl.core.evaluation import Evaluation
from automl.core.terminal import printable
from automl.report.live import LiveView, Phase, best_line, clock_time

_LEAST_SECONDS_APART = 1.0
"""Plain lines come at most this often, apart from the last of a phase."""
_PER_SECOND = 2.0
"""Drawings; a thread of its own makes them, so that steps wait for none."""
_LONGEST_REASON = 160


class Progress:
    """Shows which phases there are, how far the running one is, what was found so far, and the time left."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        """Shows nothing yet.

        Args:
            console: Where to show it; a live view if it is a terminal, else a line per step.
            clock: Seconds from any start.
        """
        self._console = console
        self._clock = clock
        self._view = LiveView(clock)
        self._live: Live | None = None
        self._phase, self._place = Phase(""), -1
        self._last_line = 0.0

    def __enter__(self) -> Self:
        """Makes the live display, which the first phase starts: what is refused before leaves no trace of it."""
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(self._view, console=self._console, refresh_per_second=_PER_SECOND)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the live display; what it shows stays on the screen."""
        self._phase.over = error is None or self._phase.done >= self._phase.total
        if self._live is not None:
            self._live.stop()

    def plan(self, names: Iterable[str]) -> None:
        """Says which phases are to come, in this order; one that does not begin is passed over."""
        self._view.phases += [Phase(name) for name in names]

    def phase(self, name: str, total: int, done: int = 0) -> None:
        """Begins a phase; the one before it is over, unless it has the same name: then its count is corrected.

        Args:
            name: What it does, such as `Search`.
            total: Steps in all.
            done: Steps that an earlier session has taken.
        """
        phase = self._phase if self._phase.name == name else self._next(name)
        now_s = self._clock()
        phase.total, phase.first, phase.done, phase.message = total, done, done, ""
        phase.begun_s = phase.stepped_s = now_s
        self._phase, self._last_line = phase, float("-inf")
        if self._live is not None:
            self._live.start(refresh=True)

    def advance(self, message: str = "", known: str = "") -> None:
        """Counts one step of the phase, and says something of it.

        Args:
            message: What the step came to.
            known: What plain lines say after it, because nothing else does there: the live view shows it by itself.
        """
        phase = self._phase
        phase.done += 1
        phase.stepped_s, phase.message = self._clock(), message
        if self._live is None and self._due(phase):
            self._last_line = phase.stepped_s
            self._print(_line(phase, ", ".join(words for words in (message, known) if words)))

    def found(self, best: Evaluation, uniform: Evaluation | None, used: float) -> None:
        """Takes what the search has found once a trial is completed.

        Args:
            best: Of the lowest divergence so far.
            uniform: The uniform policy; None while it is not evaluated.
            used: Share of the tightest budget that `best` takes.
        """
        self._view.best = best_line(best, uniform, used)
        self._view.history.append(best.divergence)

    def failed(self, number: int, reason: str) -> None:
        """Takes why a trial failed.

        Args:
            number: Of the trial.
            reason: In any length; its first words are shown, on one line.
        """
        words = " ".join(reason.split())[:_LONGEST_REASON]
        self._view.failures.append(f"trial {number}: {words}")
        if self._live is None:
            self._print(f"Trial {number} failed: {words}")

    def _next(self, name: str) -> Phase:
        """The planned phase of this name, or a new one where none is to come; what is in front of it is over."""
        phases = self._view.phases
        to_come = range(self._place + 1, len(phases))
        place = next((place for place in to_come if phases[place].name == name), None)
        if place is None:
            place = self._place + 1
            phases.insert(place, Phase(name))
        for phase in phases[:place]:
            phase.over = True
        self._place = place
        return phases[place]

    def _due(self, phase: Phase) -> bool:
        return phase.done >= phase.total or self._clock() - self._last_line >= _LEAST_SECONDS_APART

    def _print(self, line: str) -> None:
        self._console.print(Text(printable(line)), soft_wrap=True)


def _line(phase: Phase, words: str) -> str:
    left_s = phase.left_s(phase.stepped_s)
    said = f": {words}" if words else ""
    left = "" if left_s is None else f" ({clock_time(left_s)} left)"
    return f"{phase.name} {phase.done}/{phase.total}{said}{left}"
