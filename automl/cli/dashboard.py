"""`automl dashboard`."""

from typing import Annotated

import typer

from automl.cli.options import RUNS, RunName, Runs


def dashboard(
    run: RunName,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Where to listen; without it, any port that is free.")
    ] = None,
    runs: Runs = RUNS,
) -> None:
    """Show a run in optuna-dashboard (an extra), to this machine alone, until Ctrl-C.

    Trials appear as they are completed, by whichever process. Beside them are the report's sentence, budgets and plots,
    as they were when this began. Nothing is written: neither to the study nor to the run's folder.
    """
    from automl.cli.listing import listing, show_line
    from automl.cli.serving import serve
    from automl.pipeline.dashboard import dashboard as opened
    from automl.store.run import open_run

    with opened(open_run(runs, run)) as application:
        serve(application, port, lambda url: show_line(listing(), url))
