import io

import pytest
from rich.console import Console

from automl.report.progress import Progress
from tests.automl.report.test_live import evaluation


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def plain_console() -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=80), file


def test_without_a_terminal_each_step_is_one_plain_line() -> None:
    (console, file), clock = plain_console(), Clock()
    with Progress(console, clock) as progress:
        progress.phase("Search", total=3)
        for best in (0.5, 0.25, 0.125):
            clock.now += 60
            progress.advance(f"best [{best}]")
    assert file.getvalue().splitlines() == [
        "Search 1/3: best [0.5] (2:00 left)",
        "Search 2/3: best [0.25] (1:00 left)",
        "Search 3/3: best [0.125]",
    ]


def test_fast_steps_do_not_flood_the_log_but_the_last_one_is_told() -> None:
    (console, file), clock = plain_console(), Clock()
    with Progress(console, clock) as progress:
        progress.phase("Search", total=1000)
        for _ in range(1000):
            clock.now += 0.01
            progress.advance()
    lines = file.getvalue().splitlines()
    assert len(lines) <= 12
    assert lines[-1] == "Search 1000/1000"


def test_a_resumed_phase_counts_on_and_reckons_with_new_steps_only() -> None:
    (console, file), clock = plain_console(), Clock()
    with Progress(console, clock) as progress:
        progress.phase("Search", total=10, done=6)
        clock.now += 10
        progress.advance()
    assert file.getvalue() == "Search 7/10 (0:30 left)\n"


def terminal() -> Console:
    return Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None, record=True)


def last_drawing(console: Console, first: str) -> list[str]:
    """The live view as it stays on the screen, from the line of its first phase on."""
    text = console.export_text()
    return [line.rstrip() for line in text[text.rindex(first) :].splitlines()]


@pytest.fixture(autouse=True)
def usual_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


def test_on_a_terminal_a_view_shows_phases_counts_and_messages() -> None:
    console = terminal()
    with Progress(console) as progress:
        progress.phase("Baseline", total=1)
        progress.advance()
        progress.phase("Search", total=2)
        progress.advance("best [0.25]")
    baseline, search = last_drawing(console, "✓ Baseline")
    assert "1/1" in baseline
    assert "1/2" in search
    assert search.endswith("best [0.25]")


def test_the_terminal_is_given_back_after_an_error() -> None:
    file = io.StringIO()
    console = Console(file=file, width=100, force_terminal=True, color_system=None)
    try:
        with Progress(console) as progress:
            progress.phase("Search", total=2)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert file.getvalue().rstrip().endswith("\x1b[?25h")  # shows the cursor


def test_where_nothing_begins_nothing_is_drawn() -> None:
    console = terminal()
    with Progress(console) as progress:
        progress.plan(["Baseline", "Search"])
    assert console.export_text() == ""


def test_a_terminal_that_cannot_go_back_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    console = terminal()
    with Progress(console) as progress:
        progress.phase("Search", total=1)
        progress.advance("KL 0.500")
    assert console.export_text() == "Search 1/1: KL 0.500\n"


def test_a_phase_that_begins_again_keeps_its_one_line() -> None:
    console = terminal()
    with Progress(console) as progress:
        progress.phase("Baseline", 4)
        progress.phase("Baseline", 4, done=2)
        progress.advance("loss 0.5")
    (line,) = last_drawing(console, "✓ Baseline")
    assert "3/4" in line


def test_planned_phases_that_do_not_begin_are_passed_over_and_others_come_between() -> None:
    console = terminal()
    with Progress(console) as progress:
        progress.plan(["Baseline", "Timing", "Search", "Timing", "Export"])
        for name in ("Search", "Timing", "Promotion"):
            progress.phase(name, 1)
            progress.advance()
    drawing = last_drawing(console, "✓ Baseline")
    assert [line.split("  ")[0] for line in drawing[:5]] == [
        "✓ Baseline",
        "✓ Timing",
        "✓ Search",
        "✓ Timing",
        "✓ Promotion",
    ]
    assert drawing[5:] == ["  Export"]


def test_what_an_error_ends_is_not_called_done() -> None:
    console = terminal()
    with pytest.raises(ValueError, match="lost"), Progress(console) as progress:  # noqa: PT012
        progress.phase("Search", total=2)
        progress.advance()
        raise ValueError("lost")
    assert len(last_drawing(console, "▸ Search")) == 1


def test_the_best_so_far_its_history_and_failures_stand_below_the_phases() -> None:
    console = terminal()
    with Progress(console) as progress:
        progress.phase("Search", total=2)
        for best in (evaluation(0.5, 0.75), evaluation(0.25, 0.875)):
            progress.found(best, evaluation(0.5, 0.75), 0.99)
            progress.advance("KL 0.500", known="best 0.250")
        progress.failed(3, "RuntimeError: out of\nmemory")
    assert last_drawing(console, "✓ Search")[1:] == [
        "",
        "  Best     KL 0.250, 87.5% untuned; uniform KL 0.500, 75.0%; 99.0% of budget",
        "  History  █▁  best KL 0.500 to 0.250",
        "  Failed   trial 3: RuntimeError: out of memory",
    ]


def test_plain_lines_say_the_best_so_far_and_failures_as_they_come() -> None:
    (console, file), clock = plain_console(), Clock()
    with Progress(console, clock) as progress:
        progress.plan(["Search", "Export"])
        progress.phase("Search", total=2)
        progress.found(evaluation(0.5, 0.75), None, 0.99)
        progress.advance("KL 0.500", known="best 0.500")
        progress.failed(1, "RuntimeError: " + "x" * 1000)
        clock.now += 3600
        progress.advance("KL 0.750", known="best 0.500")
    first, failed, last = file.getvalue().splitlines()
    assert (first, last) == ("Search 1/2: KL 0.500, best 0.500 (0:00 left)", "Search 2/2: KL 0.750, best 0.500")
    assert failed.startswith("Trial 1 failed: RuntimeError: xxx")
    assert len(failed) < 200
