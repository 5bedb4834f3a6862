"""Tables that a command lists on stdout, so that they can be piped."""

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

from automl.core.terminal import printable
from automl.report.console import rendered
from automl.report.rows import TextTable

_PIPED_WIDTH = 1000
"""Columns where there is no terminal: each row stays on one line, as grep and cut want it."""


def listing() -> Console:
    """A console on stdout; without a terminal nothing is folded."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)


def show_table(console: Console, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints `rows` under `header`, as wide as it, all to the left."""
    table = TextTable(tuple(header), tuple(tuple(row) for row in rows))
    console.print(rendered(table, left=tuple(range(len(header)))))


def show_line(console: Console, text: str) -> None:
    """Prints one line of plain text."""
    console.print(Text(printable(text)), soft_wrap=True)
