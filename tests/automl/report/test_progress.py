import io

from rich.console import Console

from automl.report.progress import Progress


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


def test_on_a_terminal_a_bar_shows_phase_count_and_message() -> None:
    file = io.StringIO()
    console = Console(file=file, width=100, force_terminal=True, color_system=None)
    with Progress(console) as progress:
        progress.phase("Baseline", total=1)
        progress.advance()
        progress.phase("Search", total=2)
        progress.advance("best [0.25]")
    shown = file.getvalue()
    assert "Baseline" in shown
    assert "1/2" in shown
    assert "best [0.25]" in shown


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


def test_a_phase_that_begins_again_keeps_its_one_bar() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    with Progress(console) as progress:
        progress.phase("Baseline", 4)
        progress.phase("Baseline", 4, done=2)
        progress.advance("loss 0.5")
        assert progress._bar is not None
        assert [(task.description, task.completed) for task in progress._bar.tasks] == [("Baseline", 3)]
