"""`automl status`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl.cli.options import RUNS, Json, Runs

if TYPE_CHECKING:
    from rich.console import Console

    from automl.cli.standing import Standing, StudyStanding

_WORKERS = ("Worker", "State", "Completed", "Evaluates trial")
_HEADER = ("Run", "State", "Trials", "Budget", "Best so far", "Result")


def status(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="RUN...", help="Names or paths of runs; all of the folder if none.")
    ] = None,
    runs: Runs = RUNS,
    json: Json = False,
) -> None:
    """Show how far runs are: searching, stopped or done, trials, the best so far and the result."""
    from automl.cli.listing import listing, show_line, show_table
    from automl.cli.outcome import show_json
    from automl.store.run import run_names

    found = [_look(runs, name, named=bool(names)) for name in names or run_names(runs)]
    if json:
        show_json([values for values, _, _ in found])
    elif found:
        show_table(listing(), _HEADER, [row for _, row, _ in found])
        if len(found) == 1 and found[0][2] is not None:
            _show_study(listing(), found[0][2].study)
    else:
        show_line(listing(), f"There is no run in {runs}. Start one: automl search --budget 0.25flops")


def _look(runs: Path, name: str, *, named: bool) -> tuple[dict[str, Any], tuple[str, ...], "Standing | None"]:
    """A run as JSON, as a row and as it is; a broken one among all runs must not hide the others."""
    from automl.cli.standing import standing
    from automl.core.errors import AutoMLError
    from automl.store.run import open_run

    try:
        found = standing(open_run(runs, name))
    except AutoMLError as error:
        if named:
            raise
        values = {"run": name, "path": str((runs / name).resolve()), "state": "unreadable", "reason": str(error)}
        return values, (name, "unreadable", "-", "-", "-", f"see `automl status {name}`"), None
    return found.to_json(), _row(found), found


def _show_study(console: "Console", study: "StudyStanding") -> None:
    """The workers and the failures of a single run."""
    from automl.cli.listing import show_line, show_table

    if any(not worker.worker.leads for worker in study.workers):
        rows = [
            (each.worker.name, each.state, str(each.trials), "-" if each.running is None else str(each.running))
            for each in study.workers
        ]
        show_table(console, _WORKERS, rows)
    if study.running or study.waiting:
        show_line(console, f"{study.running} trial(s) are being evaluated, {study.waiting} wait.")
    if study.failures:
        show_line(console, f"{len(study.failures)} trial(s) failed, the last with: {study.failures[-1]}")


def _row(found: "Standing") -> tuple[str, ...]:
    from automl.report.quantity import percent

    best, result = "-", "-"
    if found.study.best is not None:
        evaluation = found.study.best.evaluation
        best = f"{percent(evaluation.accuracy)}, divergence {evaluation.divergence:.4f}"
    if found.metrics is not None:
        result = percent(found.metrics.final.accuracy)
    trials = f"{found.study.completed} of {found.asked}"
    return found.run.name, found.state, trials, ",".join(found.config.asked), best, result
