import numpy as np
import optuna
import pytest

from automl.core.errors import InputError
from automl.search.agent_settings import parse_settings
from automl.search.engine import Engine
from automl.search.learner import Learner
from automl.store.trials import completed
from benchmarks.amc_released import AmcReleased
from envs.trajectory import Trajectory
from tests.contracts.engine import EngineContract, run_search, search_in
from tests.contracts.joint import JointEvaluator, joint_problem
from tests.contracts.problem import SeparableEvaluator, separable_problem

WARMUP = 3
NAMES = [f"keep:block{i}" for i in range(8)]


def engine_of(warmup: int = WARMUP) -> AmcReleased:
    return AmcReleased(parse_settings("ddpg", f"hidden=16,warmup={warmup}"))


class TestAmcReleased(EngineContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return engine_of()

    def test_every_proposal_is_within_the_budget_and_uses_it(self, engine: Engine) -> None:
        """AMC keeps neither: some policies are over the budget, others leave much of it."""
        evaluator = SeparableEvaluator()
        problem = separable_problem(evaluator)
        run_search(engine_of(warmup=40), evaluator, trials=40)
        own = evaluator.asked[1:]
        used = [problem.budget.used(problem.cost_model(policy), problem.dense) for policy in own]
        assert min(used) < 0.98
        assert max(used) > 1.0
        assert min(min(policy.channels.values()) for policy in own) == 8  # a fifth of 32, rounded up

    def test_widths_and_bits_are_proposed_together_within_the_budget(self, engine: Engine) -> None:
        with pytest.raises(InputError, match="flops only"):
            search_in(joint_problem(JointEvaluator()), engine, trials=2)


def test_what_the_actor_said_is_remembered_with_the_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[Trajectory, float]] = []
    monkeypatch.setattr(Learner, "remember", lambda _, trajectory, reward: told.append((trajectory, reward)))
    study = optuna.create_study()
    run_search(engine_of(warmup=9), SeparableEvaluator(), trials=6, study=study)
    trials, evaluations = study.trials[1:5], completed(study)[1:5]  # not the uniform policy, and not the last one yet
    assert len(told) == 4
    executed = 0
    for (trajectory, reward), trial, evaluation in zip(told, trials, evaluations, strict=True):
        said = [2 * trial.params[name] - 1 for name in NAMES]
        np.testing.assert_allclose(trajectory.actions.flatten(), said, atol=1e-7)
        assert reward == evaluation.accuracy
        ratios = [evaluation.policy.channels[f"block{i}"] / 32 for i in range(8)]
        executed += int(np.allclose(2 * np.array(ratios) - 1, said))
    assert executed == 0


def test_the_actor_is_neither_asked_nor_trained_during_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {"act": 0, "train": 0}
    act, train = Learner.act, Learner.train_on_an_episode

    def counted_act(self: Learner, seen: np.ndarray, *, sampled: bool) -> np.ndarray:
        calls["act"] += 1
        return act(self, seen, sampled=sampled)

    def counted_train(self: Learner) -> None:
        calls["train"] += 1
        train(self)

    monkeypatch.setattr(Learner, "act", counted_act)
    monkeypatch.setattr(Learner, "train_on_an_episode", counted_train)
    run_search(engine_of(), SeparableEvaluator(), trials=1 + WARMUP)
    assert calls == {"act": 0, "train": 0}
    run_search(engine_of(), SeparableEvaluator(), trials=1 + WARMUP + 3)
    # Three episodes of eight steps; the last one is not learned from any more.
    assert calls == {"act": 24, "train": 2}


def test_without_a_warm_up_of_its_own_it_has_amcs() -> None:
    study = optuna.create_study()
    run_search(AmcReleased(parse_settings("ddpg", "hidden=16")), SeparableEvaluator(), trials=60, study=study)
    said = np.array([[trial.params[name] for name in NAMES] for trial in study.trials[1:]])
    # 59 x 8 draws that are uniform over (0, 1): mean 1/2, variance 1/12.
    assert said.mean() == pytest.approx(0.5, abs=0.05)
    assert said.var() == pytest.approx(1 / 12, abs=0.015)
