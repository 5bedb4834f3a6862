"""What a terminal shows of a running job: its phases, the best so far, how it came to that, and what failed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, OverflowMethod, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from automl.core.evaluation import Evaluation
from automl.core.terminal import printable
from automl.report.quantity import percent

_MOST_FAILURES = 3
_HISTORY = 40
"""Columns of the history at most."""
_BLOCKS = "▁▂▃▄▅▆▇█"
_LEAST = 1e-9
"""Divergence of which a logarithm is taken, where one is 0."""


@dataclass(slots=True, eq=False)
class Phase:
    """One phase of a job."""

    name: str
    """What it does, such as `Search`."""
    total: int = 0
    """Steps in all."""
    first: int = 0
    """Steps that an earlier session had taken."""
    done: int = 0
    """Steps taken, those of earlier sessions included."""
    begun_s: float | None = None
    """When it began, by the job's clock; None before that, and for what was not needed."""
    stepped_s: float = 0.0
    """When its last step ended."""
    over: bool = False
    message: str = ""
    """Of its last step."""

    def left_s(self, now_s: float) -> float | None:
        """Seconds that its other steps take at the pace so far; None where nothing is known, or nothing is left."""
        if self.begun_s is None or self.done <= self.first or self.done >= self.total:
            return None
        pace = (self.stepped_s - self.begun_s) / (self.done - self.first)
        return max(0.0, pace * (self.total - self.done) - (now_s - self.stepped_s))


@dataclass(slots=True)
class LiveView:
    """All that is shown, as rich draws it; another thread draws while this one is written."""

    clock: Callable[[], float]
    """Seconds from any start."""
    phases: list[Phase] = field(default_factory=list)
    """In the order in which they run."""
    best: str = ""
    """The best so far, in a line."""
    history: list[float] = field(default_factory=list)
    """The lowest divergence after each completed trial."""
    failures: list[str] = field(default_factory=list)
    """The reason of each failed trial."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text("")
        yield self._table(options)
        rows = self._rows(options)
        if rows:
            yield Text("")
            facts = Table.grid(padding=(0, 2, 0, 0), expand=True)
            facts.add_column(no_wrap=True, min_width=9)
            facts.add_column(no_wrap=True, overflow=_overflow(options), ratio=1)
            for name, words in rows:
                facts.add_row(Text(f"  {name}"), Text(printable(words)))
            yield facts

    def _table(self, options: ConsoleOptions) -> Table:
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, justify="right", min_width=5)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, min_width=9)
        table.add_column(no_wrap=True, overflow=_overflow(options), ratio=1)  # cut here, and nowhere else
        width = min(24, max(6, options.max_width // 6))
        now_s = self.clock()
        for phase in tuple(self.phases):
            table.add_row(*_cells(phase, now_s, width, options.ascii_only))
        return table

    def _rows(self, options: ConsoleOptions) -> list[tuple[str, str]]:
        rows = [("Best", self.best)] if self.best else []
        values = tuple(self.history)
        if len(values) > 1 and not options.ascii_only:
            rows.append(("History", f"{sparkline(values, _HISTORY)}  best KL {values[0]:.3f} to {values[-1]:.3f}"))
        failures = self.failures[-_MOST_FAILURES:]
        return rows + [("" if place else "Failed", reason) for place, reason in enumerate(failures)]


def best_line(best: Evaluation, uniform: Evaluation | None, used: float) -> str:
    """The best policy so far beside the uniform one, in the same measures.

    Args:
        best: Of the lowest divergence.
        uniform: The uniform policy; None while it is not evaluated.
        used: Share of the tightest budget that `best` takes.
    """
    beside = "" if uniform is None else f"; uniform KL {uniform.divergence:.3f}, {percent(uniform.accuracy)}"
    return f"KL {best.divergence:.3f}, {percent(best.accuracy)} untuned{beside}; {percent(used)} of budget"


def sparkline(values: Sequence[float], width: int) -> str:
    """Divergences as blocks on a logarithmic scale from the lowest to the highest, at most `width` of them.

    Where there are more values, each block is the last one of its share.
    """
    count = min(len(values), width)
    shown = [values[(place + 1) * len(values) // count - 1] for place in range(count)]
    logs = [math.log(max(value, _LEAST)) for value in shown]
    low, span = min(logs), max(logs) - min(logs)
    return "".join(_BLOCKS[round((each - low) / span * (len(_BLOCKS) - 1)) if span else 0] for each in logs)


def clock_time(seconds: float) -> str:
    """`0:07`, `12:30` or `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


def _cells(phase: Phase, now_s: float, width: int, ascii_only: bool) -> tuple[Text | ProgressBar, ...]:
    mark, style = _mark(phase, ascii_only)
    name = Text.assemble((mark, "green" if phase.over else style), " ", (phase.name, style))
    if phase.begun_s is None:
        return (name,)
    bar = ProgressBar(total=max(phase.total, 1), completed=phase.done, width=width)
    count = Text(f"{phase.done}/{phase.total}")
    return name, count, bar, Text(_time(phase, phase.begun_s, now_s)), Text(printable(phase.message), style="dim")


def _mark(phase: Phase, ascii_only: bool) -> tuple[str, str]:
    """(what stands before the name, the style of both)."""
    if phase.over:
        return ("*" if ascii_only else "✓"), ""
    if phase.begun_s is None:
        return " ", "dim"
    return (">" if ascii_only else "▸"), "bold"


def _time(phase: Phase, begun_s: float, now_s: float) -> str:
    """How long it took, or how long it will."""
    if phase.over or phase.done >= phase.total:
        return clock_time(phase.stepped_s - begun_s) if phase.done > phase.first else ""
    left_s = phase.left_s(now_s)
    return "" if left_s is None else f"{clock_time(left_s)} left"


def _overflow(options: ConsoleOptions) -> OverflowMethod:
    return "crop" if options.ascii_only else "ellipsis"
