import numpy as np
import optuna
import pytest

from automl.core.policy import CompressionPolicy
from automl.core.problem import LARGEST_LOG
from automl.search.multipliers import matching, multiplier_names, tried
from automl.search.refit import _fitted
from automl.search.registry import find_engine
from automl.search.sampler import uniform_policy
from automl.store.trials import completed
from tests.contracts.engine import run_search
from tests.contracts.problem import TABLE_FACTORS, SeparableEvaluator, least_divergence, separable_problem


def test_zeros_are_the_plain_answer_of_the_solver() -> None:
    problem = separable_problem(SeparableEvaluator())
    engine = find_engine("tpe")
    first = engine.first(problem)
    assert first == dict.fromkeys(multiplier_names(problem), 0.0)
    trial = optuna.create_study().ask()
    fixed = optuna.trial.FixedTrial(dict(first), number=trial.number)
    assert engine.propose(problem, fixed) == problem.solved([0.0] * 8)


def test_the_right_multipliers_lead_to_the_optimum() -> None:
    evaluator = SeparableEvaluator()
    problem = separable_problem(evaluator)
    right = (-np.log(TABLE_FACTORS)).tolist()
    assert evaluator(problem.solved(right)).divergence == pytest.approx(least_divergence())


def test_the_multipliers_that_match_the_uniform_policy_lead_about_there() -> None:
    problem = separable_problem(SeparableEvaluator())
    uniform = uniform_policy(problem)
    z = matching(problem, uniform)
    assert bool((np.abs(z) <= LARGEST_LOG).all())
    # The most sensitive block of the table has the smallest multiplier, the least sensitive one the largest.
    sensitivities = [losses[0] for losses in problem.sensitivity.losses]
    assert int(z.argmin()) == int(np.argmax(sensitivities))
    assert int(z.argmax()) == int(np.argmin(sensitivities))


def test_every_completed_trial_has_its_multipliers_and_divergence() -> None:
    evaluator = SeparableEvaluator()
    study = optuna.create_study()
    run_search(find_engine("evolution"), evaluator, trials=4, study=study)
    found = tried(separable_problem(evaluator), study)
    assert len(found) == 4
    assert found[1][0].tolist() == [0.0] * 8
    assert [divergence for _, divergence in found] == [each.divergence for each in completed(study)]


def test_the_fit_finds_by_how_much_the_table_is_wrong() -> None:
    evaluator = SeparableEvaluator()
    problem = separable_problem(evaluator)
    generator = np.random.default_rng(0)
    policies = [problem.feasible(generator.uniform(0.1, 1.0, 8).tolist()) for _ in range(60)]
    posterior = _fitted(problem, [evaluator(policy) for policy in policies])
    wanted = -np.log(TABLE_FACTORS)
    # One common factor is free, and the less a block loses, the more the prior holds its multiplier at 1.
    found = posterior.mean[:3] - posterior.mean[:3].mean()
    np.testing.assert_allclose(found, wanted[:3] - wanted[:3].mean(), atol=0.15)


def test_a_branch_that_went_along_has_no_loss_of_its_own() -> None:
    problem = separable_problem(SeparableEvaluator())
    channels = dict(uniform_policy(problem).channels)
    channels["block3"] = 0
    losses = problem.sensitivity.parts(problem.values(CompressionPolicy(channels)).tolist())
    assert losses[3] == 0.0
    assert losses[2] == problem.sensitivity.losses[2][3]  # 16 of 32 channels, the fourth width
