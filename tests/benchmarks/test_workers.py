import pytest

from benchmarks.workers import blocks, overhead_rows, seconds_per_trial, throughput_rows
from tests.contracts.problem import SeparableEvaluator, separable_problem


def test_the_fake_problem_has_as_many_knobs_as_asked() -> None:
    many = blocks(12)
    assert len(separable_problem(SeparableEvaluator(blocks=many), many).knobs) == 12


def test_the_share_of_the_storage_is_the_difference_to_memory_over_an_evaluation() -> None:
    seconds = {("memory", 12): [0.010, 0.020, 0.030], ("SQLite", 12): [0.014, 0.024, 0.034]}
    (row,) = overhead_rows(seconds, evaluation_s=0.1)
    assert row.measured == pytest.approx(4.0)
    assert row.compared == pytest.approx(0.04)
    assert row.held
    (row,) = overhead_rows(seconds, evaluation_s=0.05)
    assert not row.held


def test_throughput_is_held_against_so_many_times_one_worker() -> None:
    one, two = throughput_rows({1: 2.0, 2: 3.0})
    assert (one.compared, two.compared) == (1.0, 0.75)


def test_a_search_in_memory_takes_some_time() -> None:
    assert seconds_per_trial(None, 12, 4) > 0
