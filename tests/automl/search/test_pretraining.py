import numpy as np
import pytest

from automl.search.pretraining import rehearsals
from envs.layout import Layout
from envs.mode import Mode
from envs.observation import Observer
from tests.contracts.joint import JointEvaluator, joint_problem
from tests.contracts.problem import SeparableEvaluator, separable_problem


@pytest.mark.parametrize("mode", ["residual", "direct"])
def test_the_solvers_answer_comes_first_and_nothing_is_better_by_the_table(mode: Mode) -> None:
    evaluator = SeparableEvaluator()
    found = list(rehearsals(separable_problem(evaluator), mode, 5, np.random.default_rng(0)))
    assert len(found) == 3 * 5
    for first in (0, 5, 10):
        rewards = [each.reward for each in found[first : first + 5]]
        assert rewards[0] == pytest.approx(0.0)
        assert max(rewards[1:]) <= 1e-9
        assert min(rewards) < 0
    assert evaluator.asked == []  # no network is measured


def test_every_neighbouring_budget_is_seen_as_such() -> None:
    problem = separable_problem(SeparableEvaluator())
    at = Observer(Layout.of(problem)).names.index("allowed flops")
    found = list(rehearsals(problem, "residual", 1, np.random.default_rng(0)))
    assert [float(each.trajectory.observations[0, at]) for each in found] == pytest.approx([0.5, 0.4, 0.625])


def test_bits_are_rehearsed_too() -> None:
    found = list(rehearsals(joint_problem(JointEvaluator()), "direct", 3, np.random.default_rng(0)))
    assert {each.trajectory.actions.shape for each in found} == {(16, 3)}
