"""The `automl` command: one file per subcommand, loaded without torch so that `--help` answers at once."""

import logging
import sys

import typer

from automl import __version__
from automl.cli import (
    catalogues,
    compare,
    dashboard,
    describe,
    doctor,
    evaluate,
    export,
    finetune,
    profile,
    report,
    resume,
    search,
    show,
    status,
    train,
    worker,
)
from automl.cli.outcome import run_and_exit
from automl.cli.ranks import run_as_rank

app = typer.Typer(
    name="automl",
    help="Compress a CNN: find the channel widths that keep the most accuracy under your budget, fine-tune, export.\n\n"
    "`flops` budgets count multiply-adds once, as AMC's tables do.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)

for name, command in (
    ("search", search.search),
    ("resume", resume.resume),
    ("worker", worker.worker),
    ("train", train.train),
    ("finetune", finetune.finetune),
    ("export", export.export),
    ("evaluate", evaluate.evaluate),
    ("describe", describe.describe),
    ("profile", profile.profile),
    ("status", status.status),
    ("show", show.show),
    ("report", report.report),
    ("compare", compare.compare),
    ("dashboard", dashboard.dashboard),
    ("models", catalogues.models),
    ("datasets", catalogues.datasets),
    ("engines", catalogues.engines),
    ("doctor", doctor.doctor),
):
    app.command(name)(command)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"automl {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    pass


def main() -> None:
    """Runs the command line; every refusal is one message and its exit code."""
    logging.getLogger("automl").addHandler(logging.NullHandler())  # what matters is shown; a run keeps the rest
    sys.exit(run_as_rank(sys.argv, lambda: run_and_exit(app)))


if __name__ == "__main__":
    main()
