import io
import sys

import pytest
from rich.console import Console

from automl.cli.listing import listing, show_line, show_table


def test_piped_rows_stay_on_one_line_without_control_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    show_table(listing(), ("Name", "What"), [("a" * 40, "word " * 20)])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert [line.split() for line in out.splitlines()].count(["a" * 40, *["word"] * 20]) == 1


def test_on_a_terminal_a_table_fits_its_width() -> None:
    console = Console(file=io.StringIO(), width=40)
    show_table(console, ("Name", "What"), [("a" * 30, "word " * 20)])
    assert isinstance(console.file, io.StringIO)
    assert max(map(len, console.file.getvalue().splitlines())) <= 40


def test_brackets_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(listing(), ("Name",), [("[red]x",)])
    show_line(listing(), "[bold]y")
    out = capsys.readouterr().out
    assert "[red]x" in out
    assert "[bold]y" in out
    assert not sys.stdout.isatty()
