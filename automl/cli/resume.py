"""`automl resume`."""

import re
from typing import Annotated

import typer

from automl.cli.options import RUNS, Json, OwnData, OwnModel, RunName, Runs


def resume(
    run: RunName,
    trials: Annotated[
        str | None, typer.Option(help="Trials in all, or with a plus sign (+50) on top of those that are completed.")
    ] = None,
    model: OwnModel = None,
    data: OwnData = None,
    runs: Runs = RUNS,
    json: Json = False,
) -> None:
    """Go on with a run that was stopped or killed, or give a finished one more trials."""
    from automl.cli.outcome import show_json
    from automl.cli.result import show_outcome
    from automl.cli.session import conversation
    from automl.core.user_code import Named
    from automl.pipeline.runs import resume_run

    total, more = trial_counts(trials)
    with conversation() as talk:
        folder, metrics = resume_run(runs, run, total, more, talk, Named(model, data))
    show_outcome(talk.console, folder, metrics)
    if json:
        show_json({"run": str(folder.path), **metrics.to_json()})


def trial_counts(text: str | None) -> tuple[int | None, int | None]:
    """Reads `60` as 60 in all and `+50` as 50 more; raises `InputError` on anything else."""
    from automl.core.errors import InputError

    if text is None:
        return None, None
    if not re.fullmatch(r"\+?[0-9]{1,9}", text) or int(text) < 1:
        raise InputError(f"`--trials` must be a count such as 60, or +50 for 50 more, but got {text!r}.")
    return (None, int(text)) if text.startswith("+") else (int(text), None)
