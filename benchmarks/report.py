"""What a benchmark found: rows with a target each, and tables behind them."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from automl.store.files import write_json
from automl.store.manifest import this_machine
from benchmarks.interval import Estimate
from benchmarks.options import Options

Kind = Literal["points", "ratio", "difference"]
"""`points`: a difference of shares, shown in percentage points. `ratio`: measured / baseline."""
_HELD = {True: "yes", False: "NO", None: "-"}


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison with a baseline that was measured in the same run."""

    what: str
    """Network, budget and quantity."""
    measured: float
    """Ours: a share in [0, 1] for `points`, else in the unit that `what` names."""
    baseline: str
    """What it is compared with."""
    compared: float
    """Measured minus the baseline's, or divided by it: see `kind`."""
    kind: Kind
    ci95: tuple[float, float] | None
    """Of `compared`; None where there was one repetition."""
    target: str
    """What `compared` should be; empty where nothing was promised."""
    held: bool | None
    """Whether it is; None where nothing was promised."""


@dataclass(frozen=True, slots=True)
class Details:
    """A plain table behind the rows."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one run of a benchmark says."""

    benchmark: str
    """As `python -m` takes it."""
    rows: tuple[Row, ...]
    details: tuple[Details, ...] = ()
    notes: tuple[str, ...] = ()
    """What was left out, and why."""

    @property
    def exit_code(self) -> int:
        """1 if a target is missed, else 0."""
        return int(any(row.held is False for row in self.rows))


def points(
    what: str,
    ours: Sequence[float],
    baseline: str,
    theirs: Sequence[float],
    difference: Estimate,
    target: str,
    held: bool | None,
) -> Row:
    """The row of our shares, one per seed, against the baseline's; `difference` is what `paired95` makes of them."""
    against = f"{baseline} {percent(float(np.mean(theirs)))}"
    return Row(what, float(np.mean(ours)), against, difference.value, "points", difference.ci95, target, held)


def publish(report: Report, options: Options, console: Console | None = None) -> int:
    """Prints the report, writes it where `--json` says, and returns the exit code."""
    console = Console(width=None if sys.stdout.isatty() else 140) if console is None else console
    machine = machine_line(options.seeds)
    for details in report.details:
        console.print(_table(details))
    console.print(_table(_of_rows(report.rows)))
    for line in (*report.notes, machine):
        console.print(Text(line))
    if options.quick:
        console.print(Text("--quick: a look; quote no figure of it."))
    if options.json is not None:
        command = " ".join(["python -m", report.benchmark, *sys.argv[1:]])
        write_json(options.json, {"machine": machine, "command": command, "quick": options.quick, **asdict(report)})
    return report.exit_code


def machine_line(seeds: Sequence[int]) -> str:
    """Where the figures were measured."""
    machine = this_machine()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{machine.processor}, {machine.cores} cores, {gpu}; torch {torch.__version__}, "
        f"{torch.get_num_threads()} thread(s); seeds {', '.join(map(str, seeds))}"
    )


def percent(share: float) -> str:
    """A share in [0, 1] with one decimal."""
    return f"{share:.1%}"


def spread(estimate: Estimate) -> str:
    """Both ends of a share's interval."""
    return "-" if estimate.ci95 is None else " to ".join(percent(end) for end in estimate.ci95)


def plus_minus(estimate: Estimate) -> str:
    """A score, and how far its interval reaches on either side."""
    found = f"{estimate.value:.3f}"
    return found if estimate.ci95 is None else f"{found} ± {estimate.ci95[1] - estimate.value:.3f}"


def _of_rows(rows: Sequence[Row]) -> Details:
    columns = ("", "measured", "against", "compared", "95% interval", "target", "held")
    return Details("Targets", columns, tuple(_cells(row) for row in rows))


def _cells(row: Row) -> tuple[str, ...]:
    interval = "-" if row.ci95 is None else " to ".join(_compared(end, row.kind) for end in row.ci95)
    measured = percent(row.measured) if row.kind == "points" else f"{row.measured:.4g}"
    return (
        row.what,
        measured,
        row.baseline,
        _compared(row.compared, row.kind),
        interval,
        row.target or "-",
        _HELD[row.held],
    )


def _compared(value: float, kind: Kind) -> str:
    if kind == "points":
        return f"{100 * value:+.1f}"
    return f"{value:.3g}x" if kind == "ratio" else f"{value:+.3g}"


def _table(details: Details) -> Table:
    table = Table(title=Text(details.title), title_justify="left", box=None, pad_edge=False)
    for index, column in enumerate(details.columns):
        table.add_column(Text(column), justify="left" if index == 0 else "right")
    for row in details.rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
