"""`automl compare`."""

from pathlib import Path
from typing import Annotated

import typer

from automl.cli.options import RUNS, Json, Runs


def compare(
    names: Annotated[
        list[str], typer.Argument(metavar="RUN RUN...", help="Names or paths of runs; each is held against the first.")
    ],
    runs: Runs = RUNS,
    to: Annotated[Path | None, typer.Option(help="File to write the comparison to, as a page.")] = None,
    json: Json = False,
) -> None:
    """Compare finished runs: what they keep and cost, and how they differ on the same test images."""
    from automl.cli.listing import listing, show_line, show_table
    from automl.cli.outcome import show_json
    from automl.cli.targets import refuse_taken
    from automl.pipeline.comparing import compare_runs
    from automl.report.comparison import results_table
    from automl.report.comparison_page import write_comparison

    if to is not None:
        refuse_taken(to)
    found = compare_runs(runs, names)
    if to is not None:
        write_comparison(to, found)
    if json:
        show_json(found.to_json())
        return
    console = listing()
    table = results_table(found.results)
    show_table(console, table.header, table.rows)
    for pair in found.pairs:
        show_line(console, str(pair))
    if to is not None:
        show_line(console, str(to))
