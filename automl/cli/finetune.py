"""`automl finetune`."""

from typing import Annotated

import typer

from automl.cli.options import RUNS, Json, OwnData, OwnModel, RunName, Runs


def finetune(
    run: RunName,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of the fine-tuning; the default follows the size of the data.")
    ] = None,
    model: OwnModel = None,
    data: OwnData = None,
    runs: Runs = RUNS,
    json: Json = False,
) -> None:
    """Fine-tune the best network of a finished search again, for another number of epochs, and export it.

    `torchrun --standalone --nproc-per-node N -m automl finetune RUN` trains in N processes, each on a GPU if there are.
    """
    from automl.cli.outcome import show_json
    from automl.cli.result import show_outcome
    from automl.cli.session import conversation
    from automl.core.user_code import Named
    from automl.pipeline.runs import finetune_run

    with conversation() as talk:
        folder, metrics = finetune_run(runs, run, epochs, talk, Named(model, data))
    show_outcome(talk.console, folder, metrics)
    if json:
        show_json({"run": str(folder.path), **metrics.to_json()})
