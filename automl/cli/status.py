"""`automl status`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl.cli.options import RUNS, Json, Runs

if TYPE_CHECKING:
    from automl.cli.standing import Standing
    from automl.store.run import Run

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
    from automl.store.run import open_run, run_names

    found = [_look(open_run(runs, name), alone=bool(names)) for name in names or run_names(runs)]
    if json:
        show_json([values for values, _ in found])
    elif found:
        show_table(listing(), _HEADER, [row for _, row in found])
    else:
        show_line(listing(), f"There is no run in {runs}. Start one: automl search --budget 0.25flops")


def _look(run: "Run", *, alone: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A run as JSON and as a row; a broken one among all runs must not hide the others."""
    from automl.cli.standing import standing
    from automl.core.errors import InputError

    try:
        found = standing(run)
    except InputError as error:
        if alone:
            raise
        values = {"run": run.name, "path": str(run.path), "state": "unreadable", "reason": str(error)}
        return values, (run.name, "unreadable", "-", "-", "-", f"see `automl status {run.name}`")
    return found.to_json(), _row(found)


def _row(found: "Standing") -> tuple[str, ...]:
    from automl.report.quantity import percent

    best, result = "-", "-"
    if found.best is not None:
        evaluation = found.best.evaluation
        best = f"{percent(evaluation.accuracy)}, divergence {evaluation.divergence:.4f}"
    if found.metrics is not None:
        result = percent(found.metrics.final.accuracy)
    trials = f"{found.trials} of {found.asked}"
    return found.run.name, found.state, trials, ",".join(found.config.budget), best, result
