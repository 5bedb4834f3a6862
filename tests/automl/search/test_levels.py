"""One search under several budgets."""

from collections import Counter

import optuna
import pytest
from optuna.trial import TrialState

from automl.core.budget import Metric
from automl.core.budget_range import BudgetRange
from automl.core.errors import RunError
from automl.core.policy import CompressionPolicy
from automl.core.problem import Problem
from automl.report.front import front
from automl.search.engine import TrialReport
from automl.search.registry import find_engine
from automl.search.runner import search
from automl.search.sampler import uniform_policy
from automl.store.trials import LEVEL, completed, completed_trials, level_of
from tests.contracts.problem import CHANNELS, SENSITIVITY, SeparableEvaluator, least_divergence, separable_problem
from tests.contracts.trials import ledger, proposal

SHARES = [limit.value for limit in BudgetRange.parse("flops:0.25..0.75").limits()]
STEP = 2 * 4 * 4
"""MACs of four channels of a block."""


def problems(evaluate: SeparableEvaluator) -> list[Problem]:
    return [separable_problem(evaluate, share=share) for share in SHARES]


def searched(
    trials: int,
    *,
    engine: str = "solver",
    study: optuna.Study | None = None,
    evaluate: SeparableEvaluator | None = None,
    reports: list[TrialReport] | None = None,
) -> optuna.Study:
    tightest, *looser = problems(evaluate or SeparableEvaluator())
    study = study or optuna.create_study()
    heard: list[TrialReport] = [] if reports is None else reports
    search(
        tightest, study, find_engine(engine), trials=trials, seed=0, deadline=None, stop=lambda: False,
        on_trial=heard.append, looser=looser,
    )  # fmt: skip
    return study


def policies(study: optuna.Study, level: int) -> list[CompressionPolicy]:
    return [evaluation.policy for evaluation in completed(study, level)]


def alone(level: int, trials: int) -> list[CompressionPolicy]:
    study, problem = optuna.create_study(), problems(SeparableEvaluator())[level]
    search(
        problem, study, find_engine("solver"), trials=trials, seed=0, deadline=None, stop=lambda: False,
        on_trial=lambda _: None,
    )  # fmt: skip
    return [evaluation.policy for evaluation in completed(study)]


@pytest.mark.parametrize("engine", ["solver", "random", "tpe"])
def test_trials_take_turns_and_each_is_within_its_own_budget(engine: str) -> None:
    study = searched(20, engine=engine)
    assert Counter(map(level_of, study.trials)) == dict.fromkeys(range(5), 4)
    for level, problem in enumerate(problems(SeparableEvaluator())):
        used = [problem.budget.used(problem.cost_model(policy), problem.dense) for policy in policies(study, level)]
        # A step is 1/64 of the network, so that not each budget can be used whole.
        assert all(1 - 1 / (64 * SHARES[level]) <= each <= 1 for each in used)


def test_each_level_begins_with_its_uniform_policy() -> None:
    study = searched(10)
    for level, problem in enumerate(problems(SeparableEvaluator())):
        assert policies(study, level)[0] == uniform_policy(problem)
        assert policies(study, level)[1] == problem.solved([0.0] * len(problem.knobs))


def test_the_tightest_level_proposes_what_a_search_of_its_own_does() -> None:
    assert policies(searched(40), 0) == alone(0, 8)


def test_the_front_is_near_the_exact_one() -> None:
    study = searched(75)
    found = front(completed_trials(study.get_trials()), Metric.FLOPS)
    dense = problems(SeparableEvaluator())[0].dense.macs
    assert dense == len(SENSITIVITY) * CHANNELS // 4 * STEP
    for point in found:  # nothing is better than the optimum at its cost
        assert point.divergence >= least_divergence(share=point.cost / dense) * (1 - 1e-9)
    for share in SHARES:
        best = min(point.divergence for point in found if point.cost <= share * dense)
        assert best <= 1.05 * least_divergence(share=share)


@pytest.mark.parametrize("engine", ["solver", "random"])
def test_a_resumed_search_proposes_what_would_have_followed(engine: str) -> None:
    study = searched(13, engine=engine)
    searched(30, engine=engine, study=study)
    whole = searched(30, engine=engine)
    for level in range(5):
        assert policies(study, level) == policies(whole, level)


def test_what_was_queued_when_a_search_ended_is_evaluated_first() -> None:
    study, evaluator = searched(3), SeparableEvaluator()
    assert sum(trial.state is TrialState.WAITING for trial in study.trials) == 7
    searched(10, study=study, evaluate=evaluator)
    assert len(study.trials) == 10
    assert all(trial.state is TrialState.COMPLETE for trial in study.trials)


def test_the_uniform_engine_has_one_trial_of_each_level() -> None:
    study = searched(40, engine="uniform")
    assert [level_of(trial) for trial in study.trials] == list(range(5))


def test_the_best_of_a_report_is_that_of_its_level() -> None:
    reports: list[TrialReport] = []
    searched(20, reports=reports)
    for report in reports:
        earlier = [each for each in reports if each.done <= report.done and each.level == report.level]
        assert report.best.divergence == min(each.evaluation.divergence for each in earlier)


@pytest.mark.parametrize("level", [-1, 5, True, "0", None])
def test_a_level_that_there_is_not_is_refused(level: object) -> None:
    study = optuna.create_study()
    study.add_trial(optuna.create_trial(state=TrialState.RUNNING, user_attrs={LEVEL: level}))
    with pytest.raises(RunError, match="its level is"):
        level_of(study.trials[0])


def test_a_trial_of_a_range_is_refused_by_a_search_of_one_budget() -> None:
    study = optuna.create_study()
    problem = separable_problem(SeparableEvaluator())
    ledger(study).queue(proposal(uniform_policy(problem), level=2))
    with pytest.raises(RunError, match="its level is 2 of 1"):
        search(
            problem, study, find_engine("random"), trials=3, seed=0, deadline=None, stop=lambda: False,
            on_trial=lambda _: None,
        )  # fmt: skip
