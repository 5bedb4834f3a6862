"""Tables that a command lists on stdout, so that they can be piped."""

import sys
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPED_WIDTH = 1000
"""Columns where there is no terminal: each row stays on one line, as grep and cut want it."""


def listing() -> Console:
    """A console on stdout; without a terminal nothing is folded."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)


def show_table(console: Console, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints `rows` under `header`, as wide as it, all to the left."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in header:
        table.add_column(Text(title), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # rich would read brackets in a name as markup
    console.print(table)


def show_line(console: Console, text: str) -> None:
    """Prints one line of plain text."""
    console.print(Text(text), soft_wrap=True)
