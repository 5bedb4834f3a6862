"""`automl export`."""

from pathlib import Path
from typing import Annotated

import typer

from automl.cli.options import RUNS, Json, OwnData, OwnModel, RunName, Runs

FILES = ("policy.json", "channels.json", "model.safetensors", "model.onnx")
"""What an export writes; a channel list only where one says the policy."""


def export(
    run: RunName,
    trial: Annotated[
        int | None, typer.Option(help="Number of a trial, exported without fine-tuning; the default is the result.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Folder to write to; the default is exports/ in the run.")] = None,
    model: OwnModel = None,
    data: OwnData = None,
    runs: Runs = RUNS,
    json: Json = False,
) -> None:
    """Write the network of a run, or of one of its trials, as ONNX and safetensors, verified against torch."""
    from dataclasses import asdict

    from automl.cli.listing import show_table
    from automl.cli.outcome import show_json
    from automl.cli.session import conversation
    from automl.core.errors import NoFeasiblePolicyError
    from automl.core.user_code import Named
    from automl.pipeline.runs import export_run
    from automl.report.rows import budget_table

    with conversation() as talk:
        folder, budgets = export_run(runs, run, trial, to, talk, Named(model, data))
    written = {name: folder / name for name in FILES if (folder / name).is_file()}
    for path in written.values():
        talk.say(str(path))
    table = budget_table(budgets)
    show_table(talk.console, table.header, table.rows)
    if json:
        files = {name: str(path.absolute()) for name, path in written.items()}
        show_json({"run": run, "trial": trial, "files": files, "budgets": [asdict(line) for line in budgets]})
    broken = next((line for line in budgets if not line.met), None)
    if broken is not None:
        raise NoFeasiblePolicyError(
            f"Every budget must hold on the exported file, but the one on {broken.metric} does not, as the table "
            "says. The files are written; export another trial, or search with a smaller budget."
        )
