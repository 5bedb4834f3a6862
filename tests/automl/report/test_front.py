from dataclasses import replace

from automl.core.budget import Metric
from automl.core.cost import Cost
from automl.report.front import front
from automl.store.trials import CompletedTrial
from tests.automl.store.test_trials import EVALUATION


def trial(number: int, macs: int, divergence: float, params: int = 1) -> CompletedTrial:
    cost = Cost(macs=macs, params=params, size_bytes=1, bops=1)
    return CompletedTrial(number, "solver", False, replace(EVALUATION, cost=cost, divergence=divergence))


def test_the_front_has_what_no_other_trial_beats_the_cheapest_first() -> None:
    # 4 is beaten by 1 in both, 2 costs as much as 3 and diverges more.
    trials = [trial(0, 30, 0.1), trial(1, 10, 0.5), trial(2, 20, 0.4), trial(3, 20, 0.3), trial(4, 25, 0.6)]
    assert [point.trial for point in front(trials, Metric.FLOPS)] == [1, 3, 0]


def test_of_equal_trials_the_first_stands() -> None:
    assert [point.trial for point in front([trial(3, 10, 0.5), trial(5, 10, 0.5)], Metric.FLOPS)] == [3]


def test_the_front_is_of_the_metric_that_was_asked_for() -> None:
    trials = [trial(0, 10, 0.5, params=9), trial(1, 20, 0.3, params=3)]
    found = front(trials, Metric.PARAMS)
    assert [(point.trial, point.metric, point.cost) for point in found] == [(1, "params", 3.0)]


def test_no_trials_have_no_front() -> None:
    assert front([], Metric.SIZE) == ()
