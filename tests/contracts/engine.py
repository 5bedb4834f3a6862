"""What every search engine keeps; an engine's test class inherits it and gives the fixture `engine`."""

from statistics import median
from typing import ClassVar

import optuna
import pytest

from automl.core.evaluation import Evaluation
from automl.core.problem import Problem
from automl.search.engine import Engine, TrialReport
from automl.search.registry import find_engine
from automl.search.runner import search
from automl.search.sampler import uniform_policy
from automl.store.trials import completed
from tests.contracts.joint import JointEvaluator, expected, joint_problem, least_expected
from tests.contracts.problem import SeparableEvaluator, least_divergence, separable_problem


class EngineContract:
    @pytest.fixture
    def engine(self) -> Engine:
        raise NotImplementedError

    def test_every_proposal_is_within_the_budget_and_uses_it(self, engine: Engine) -> None:
        evaluator = SeparableEvaluator()
        problem = separable_problem(evaluator)
        run_search(engine, evaluator, trials=14)
        assert evaluator.asked
        for policy in evaluator.asked:
            assert 0.98 <= problem.budget.used(problem.cost_model(policy), problem.dense) <= 1.0
            for knob in problem.knobs:
                assert policy.channels[knob.target] in knob.choices

    def test_widths_and_bits_are_proposed_together_within_the_budget(self, engine: Engine) -> None:
        evaluator = JointEvaluator()
        problem = joint_problem(evaluator)
        search_in(problem, engine, trials=8)
        uniform, *others = evaluator.asked
        assert len({bits.weight for bits in uniform.bits.values()}) == 1
        assert len(set(uniform.channels.values())) == 1
        for policy in (uniform, *others):
            assert problem.budget.satisfied_by(problem.cost_model(policy), problem.dense)
            assert set(policy.bits) == {layer.name for layer in problem.graph.layers}

    def test_trial_0_is_the_uniform_policy(self, engine: Engine) -> None:
        evaluator = SeparableEvaluator()
        reports: list[TrialReport] = []
        run_search(engine, evaluator, trials=1, reports=reports)
        assert reports[0].number == 0
        assert set(reports[0].evaluation.policy.channels.values()) == {16}
        assert evaluator.asked == [uniform_policy(separable_problem(evaluator))]

    def test_one_seed_gives_one_search(self, engine: Engine) -> None:
        first, second = SeparableEvaluator(), SeparableEvaluator()
        run_search(engine, first, trials=12, seed=3)
        run_search(engine, second, trials=12, seed=3)
        assert first.asked == second.asked

    def test_no_policy_is_evaluated_twice(self, engine: Engine) -> None:
        evaluator = SeparableEvaluator()
        run_search(engine, evaluator, trials=14)
        digests = [policy.digest() for policy in evaluator.asked]
        assert len(digests) == len(set(digests))

    def test_a_resumed_search_ends_with_the_asked_number_of_other_policies(self, engine: Engine) -> None:
        evaluator = SeparableEvaluator()
        study = optuna.create_study()
        run_search(engine, evaluator, trials=4, study=study)
        earlier = [policy.digest() for policy in evaluator.asked]
        evaluator.asked.clear()
        run_search(engine, evaluator, trials=10, study=study)
        assert len(completed(study)) == asked(engine, 10)
        assert not {policy.digest() for policy in evaluator.asked} & set(earlier)

    def test_a_finished_search_resumed_evaluates_nothing(self, engine: Engine) -> None:
        evaluator = SeparableEvaluator()
        study = optuna.create_study()
        best = run_search(engine, evaluator, trials=4, study=study)
        evaluator.asked.clear()
        assert run_search(engine, evaluator, trials=4, study=study) == best
        assert evaluator.asked == []


class LearningEngineContract(EngineContract):
    """For engines that learn from what was evaluated, in the solver's space."""

    trials: ClassVar[int] = 40
    """Trials of one search."""
    within: ClassVar[float] = 1.1
    """The median of three searches comes at most so many times the optimum."""

    def test_trial_1_is_the_plain_answer_of_the_solver(self, engine: Engine) -> None:
        evaluator = SeparableEvaluator()
        run_search(engine, evaluator, trials=2)
        problem = separable_problem(evaluator)
        assert evaluator.asked == [uniform_policy(problem), problem.solved([0.0] * len(problem.knobs))]

    def test_the_plain_answer_is_the_optimum_of_widths_and_bits(self, engine: Engine) -> None:
        evaluator = JointEvaluator()
        problem = joint_problem(evaluator)
        search_in(problem, engine, trials=2)
        uniform, plain = evaluator.asked
        assert expected(problem, plain) == pytest.approx(least_expected(problem), rel=1e-6)
        assert expected(problem, plain) < expected(problem, uniform)

    def test_it_beats_random_at_equal_evaluations(self, engine: Engine) -> None:
        random = find_engine("random")
        theirs = [run_search(random, SeparableEvaluator(), trials=self.trials, seed=seed) for seed in range(3)]
        ours = [run_search(engine, SeparableEvaluator(), trials=self.trials, seed=seed) for seed in range(3)]
        assert median(e.divergence for e in ours) < median(e.divergence for e in theirs)

    @pytest.mark.parametrize("chained", [0.0, 0.7])
    def test_it_comes_near_the_known_optimum_although_the_table_is_wrong(self, engine: Engine, chained: float) -> None:
        best = [
            run_search(engine, SeparableEvaluator(chained), trials=self.trials, seed=seed).divergence
            for seed in range(3)
        ]
        least = least_divergence(chained)
        assert min(best) >= least * (1 - 1e-9)
        assert median(best) <= self.within * least


def run_search(
    engine: Engine,
    evaluator: SeparableEvaluator,
    *,
    trials: int,
    seed: int = 0,
    study: optuna.Study | None = None,
    reports: list[TrialReport] | None = None,
) -> Evaluation:
    """A search of the separable problem without an end in time, in memory if no study is given."""
    return search_in(separable_problem(evaluator), engine, trials=trials, seed=seed, study=study, reports=reports)


def search_in(
    problem: Problem,
    engine: Engine,
    *,
    trials: int,
    seed: int = 0,
    study: optuna.Study | None = None,
    reports: list[TrialReport] | None = None,
) -> Evaluation:
    """The same for any problem."""
    heard: list[TrialReport] = [] if reports is None else reports
    return search(
        problem,
        study or optuna.create_study(),
        engine,
        trials=trials,
        seed=seed,
        deadline=None,
        stop=lambda: False,
        on_trial=heard.append,
    )


def asked(engine: Engine, trials: int) -> int:
    """Trials that `engine` completes when `trials` are asked for."""
    return trials if engine.most_trials is None else min(trials, engine.most_trials)
