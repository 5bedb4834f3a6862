"""How commands end: the table, where the files are, and what to type next."""

from rich.console import Console
from rich.text import Text

from automl.pipeline.ending import MORE, ending
from automl.report.console import show_result
from automl.report.metrics import Metrics
from automl.store.config import load_config
from automl.store.run import Run


def show_outcome(console: Console, run: Run, metrics: Metrics) -> None:
    """Prints the final table, the folder with its report and network, and the command that goes on."""
    show_result(console, metrics, run.name)
    for line in ending(run, load_config(run.config), *MORE):
        console.print(Text(line), soft_wrap=True)  # on a line of its own, however long: to be copied
