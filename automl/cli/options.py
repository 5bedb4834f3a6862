"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

RUNS = Path("runs")

Runs = Annotated[Path, typer.Option("--runs", help="Folder of all runs.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name of a run in the runs folder, or path of one.")]
Json = Annotated[bool, typer.Option("--json", help="Write the result as JSON to stdout; the rest goes to stderr.")]
InputSize = Annotated[int | None, typer.Option("--input-size", help="Height and width of the images, in pixels.")]
Epochs = Annotated[int | None, typer.Option(help="Epochs of training; the default follows the size of the data.")]
