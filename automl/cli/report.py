"""`automl report`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from automl.cli.options import RUNS, Json, Runs

_MOST_OPEN = 5
"""Tabs that `--open` opens; nobody wants hundreds."""


def report(
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help="Names or paths of runs.")],
    runs: Runs = RUNS,
    to: Annotated[
        Path | None, typer.Option(help="File to write one run's page to; the default is report.html in the run.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the pages in a browser, the first few of many.")] = False,
    json: Json = False,
) -> None:
    """Render the reports of runs again, from their folders alone: neither the data nor the network is needed."""
    from automl.cli.listing import listing, show_line
    from automl.cli.outcome import show_json
    from automl.cli.targets import refuse_taken
    from automl.core.errors import InputError

    names = list(dict.fromkeys(names))
    if to is not None and len(names) > 1:
        raise InputError(
            f"`--to` names one file, but {len(names)} runs were given. Name one run, leave `--to` out, or put them "
            "side by side: `automl compare RUN RUN... --to FILE`."
        )
    if to is not None:
        refuse_taken(to)
    console = listing()
    written, refused = _rendered(runs, names, to, lambda path: None if json else show_line(console, str(path)))
    if json:
        show_json([{"run": name, "report": str(path)} for name, path in written.items()])
    if show:
        _open(list(written.values()))
    if refused and len(names) == 1:
        raise refused[0]
    if refused:
        said = "\n  ".join(str(each) for each in refused)
        raise InputError(f"{len(refused)} of {len(names)} runs have no report, the others do:\n  {said}")


def _rendered(
    runs: Path, names: Sequence[str], to: Path | None, show: Callable[[Path], None]
) -> tuple[dict[str, Path], list[Exception]]:
    """Run -> its page, each shown as it is done; and why others have none, which must not keep these from theirs."""
    from automl.core.errors import AutoMLError
    from automl.pipeline.reporting import render_run
    from automl.store.run import open_run

    written: dict[str, Path] = {}
    refused: list[Exception] = []
    for name in names:
        try:
            written[name] = render_run(open_run(runs, name), to)
            show(written[name])
        except AutoMLError as error:
            refused.append(error)
    return written, refused


def _open(paths: Sequence[Path]) -> None:
    import webbrowser

    from rich.console import Console

    from automl.cli.listing import show_line

    console = Console(stderr=True, highlight=False)
    for path in paths[:_MOST_OPEN]:
        if not webbrowser.open(path.resolve().as_uri()):
            show_line(console, f"There is no browser here. Open {path} in one, or copy it: the file is all there is.")
            return
    if len(paths) > _MOST_OPEN:
        show_line(console, f"Opened the first {_MOST_OPEN} of {len(paths)} pages.")
