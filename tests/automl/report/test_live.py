import io
import math

import pytest
from rich.console import Console

from automl.core.cost import Cost
from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from automl.report.live import LiveView, Phase, best_line, clock_time, sparkline

LONG = "RuntimeError: an operator of the name `group_norm` got an input of a shape that it does not know, " * 3


def evaluation(divergence: float, accuracy: float) -> Evaluation:
    cost = Cost(macs=1, params=1, size_bytes=4, bops=1024)
    return Evaluation(CompressionPolicy({"a": 4}), cost, divergence, accuracy, (0.0, 1.0), images=100, seconds=0.1)


def full_view() -> LiveView:
    """In the middle of a search, with more to say than fits."""
    phases = [
        Phase("Baseline", 30, 0, 30, begun_s=0.0, stepped_s=41.0, over=True, message="loss 0.5, selection 98.2%"),
        Phase("Sensitivity", over=True),
        Phase("Search", 1000, 0, 250, begun_s=50.0, stepped_s=100.0, message=f"KL 0.012 {LONG}"),
        Phase("Fine-tune"),
    ]
    best = best_line(evaluation(0.0123, 0.991), evaluation(0.0512, 0.982), 0.9974)
    failures = [f"trial {number}: {LONG}" for number in range(5)]
    return LiveView(lambda: 110.0, phases, best, [0.0512] * 100 + [0.0123] * 150, failures)


def drawn(view: LiveView, width: int, encoding: str = "utf-8") -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width, force_terminal=True, record=True)
    console.print(view)
    return [line.rstrip() for line in console.export_text().splitlines()]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_nothing_is_wider_than_the_terminal_and_nothing_wraps(width: int) -> None:
    lines = drawn(full_view(), width)
    assert len(lines) == 1 + 4 + 1 + 2 + 3  # phases, facts and the last failures, with a blank line before each block
    assert max(map(len, lines)) <= width


def test_done_running_and_coming_phases_are_told_apart() -> None:
    _, baseline, sensitivity, search, finetune, *_ = drawn(full_view(), 80)
    assert baseline.startswith("✓ Baseline")
    assert "30/30" in baseline
    assert "0:41       loss 0.5, selection 98.2%" in baseline
    assert sensitivity == "✓ Sensitivity"
    assert search.startswith("▸ Search")
    # 250 of 1,000 in 50 s: 150 s for the others, of which 10 s have passed.
    assert "2:20 left  KL 0.012" in search
    assert search.endswith("…")
    assert finetune == "  Fine-tune"


def test_the_best_stands_beside_uniform_and_below_are_its_history_and_the_last_failures() -> None:
    best, history, *failures = drawn(full_view(), 80)[-5:]
    assert best == "  Best     KL 0.012, 99.1% untuned; uniform KL 0.051, 98.2%; 99.7% of budget"
    assert history == f"  History  {'█' * 16}{'▁' * 24}  best KL 0.051 to 0.012"
    assert [line.split(":")[0].strip() for line in failures] == ["Failed   trial 2", "trial 3", "trial 4"]


def test_a_terminal_that_has_ascii_alone_gets_no_other_signs() -> None:
    lines = drawn(full_view(), 80, encoding="ascii")
    assert all(line.isascii() for line in lines)
    assert lines[1].startswith("* Baseline")
    assert lines[3].startswith("> Search")


def test_before_the_first_trial_there_are_phases_alone() -> None:
    assert drawn(LiveView(lambda: 0.0, [Phase("Baseline"), Phase("Search")]), 80) == ["", "  Baseline", "  Search"]


def test_names_are_no_markup_and_no_control_characters() -> None:
    phase = Phase("Sensitivity", 2, 0, 1, begun_s=0.0, stepped_s=1.0, message="[red]layer\x1b[2J")
    assert "[red]layer\\x1b[2J" in drawn(LiveView(lambda: 1.0, [phase]), 80)[1]


def test_without_the_uniform_policy_the_best_stands_alone() -> None:
    assert best_line(evaluation(0.5, 0.75), None, 1.0) == "KL 0.500, 75.0% untuned; 100.0% of budget"


def test_equal_factors_are_equal_steps_of_the_history() -> None:
    assert sparkline([math.exp(-step) for step in range(8)], 40) == "█▇▆▅▄▃▂▁"


def test_a_long_history_shows_the_last_value_of_each_share() -> None:
    values = [value for step in range(8) for value in (*[100.0] * 9, math.exp(-step))]
    assert sparkline(values, 8) == "█▇▆▅▄▃▂▁"


@pytest.mark.parametrize(("values", "blocks"), [([0.5, 0.5], "▁▁"), ([1.0, 0.0], "█▁"), ([0.25], "▁")])
def test_a_history_without_a_step_or_with_nothing_to_take_a_logarithm_of(values: list[float], blocks: str) -> None:
    assert sparkline(values, 40) == blocks


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0:00"), (7.4, "0:07"), (59.6, "1:00"), (750, "12:30"), (3599.7, "1:00:00"), (3723, "1:02:03")],
)
def test_hours_show_only_where_there_are_some(seconds: float, words: str) -> None:
    assert clock_time(seconds) == words


def test_what_takes_longer_than_it_was_thought_is_never_below_nothing() -> None:
    phase = Phase("Search", 3, 1, 2, begun_s=0.0, stepped_s=10.0)
    assert [phase.left_s(now_s) for now_s in (10.0, 14.0, 99.0)] == [10.0, 6.0, 0.0]
