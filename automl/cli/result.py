"""How commands end: the table, where the files are, and what to type next."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from automl.core.terminal import printable
from automl.report.console import show_result
from automl.report.metrics import Metrics
from automl.store.run import Run


def show_outcome(console: Console, run: Run, metrics: Metrics) -> None:
    """Prints the final table, the folder, and the next commands."""
    show_result(console, metrics)
    shown = run.path.relative_to(Path.cwd()) if run.path.is_relative_to(Path.cwd()) else run.path
    for line in (
        f"Results in {shown}: best/model.onnx, best/model.safetensors, best/policy.json, report.html",
        f"Next: automl show {run.name} | automl resume {run.name} --trials +40 | automl export {run.name} --to DIR",
    ):
        console.print(Text(printable(line)), soft_wrap=True)
