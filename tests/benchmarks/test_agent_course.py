from dataclasses import asdict, replace

import pytest

from automl.search.registry import find_engine
from benchmarks.agent_course import Course
from benchmarks.bench import searched
from tests.contracts.problem import SeparableEvaluator, separable_problem

COURSE = Course(
    divergences=(2.0, 0.5, 1.8, 1.9, 1.0),
    accuracies=(0.5, 0.9, 0.55, 0.5, 0.7),
    feasible=(True, False, True, False, True),
    used=(1.0, 1.3, 0.9, 1.1, 0.99),
    seconds=(1.0, 2.0, 3.0, 4.0, 5.0),
)


def test_policies_over_the_budget_do_not_count_for_the_best() -> None:
    assert [COURSE.score(trials) for trials in (1, 2, 3, 4, 5, 400)] == [1.0, 1.0, 0.9, 0.9, 0.5, 0.5]


def test_shares_are_of_the_engines_own_proposals() -> None:
    assert COURSE.feasible_share == 0.5
    assert COURSE.median_use == pytest.approx((0.99 + 1.1) / 2)


def test_a_course_goes_through_json() -> None:
    values = {name: list(entries) for name, entries in asdict(COURSE).items()}
    assert Course.of_json(values) == COURSE


def test_a_search_is_recorded_trial_by_trial() -> None:
    evaluator = SeparableEvaluator()
    problem = separable_problem(evaluator)
    timed = searched(problem, find_engine("random"), 4, 0)
    course = Course.of(problem, timed, head_start_s=100.0)
    evaluations = [SeparableEvaluator()(policy) for policy in evaluator.asked]
    assert course.divergences == tuple(each.divergence for each in evaluations)
    assert course.accuracies == tuple(each.accuracy for each in evaluations)
    assert course.used == tuple(each.cost.macs / 1024 for each in evaluations)  # half of 8 x 256
    assert course.feasible == (True,) * 4
    assert all(100.0 < each < 160.0 for each in course.seconds)
    over = replace(timed[1].report.evaluation, cost=replace(timed[1].report.evaluation.cost, macs=1025))
    one = replace(timed[1], report=replace(timed[1].report, evaluation=over))
    assert Course.of(problem, (timed[0], one), 0.0).feasible == (True, False)
