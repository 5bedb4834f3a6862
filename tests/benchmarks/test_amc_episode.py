from collections.abc import Sequence

import numpy as np
import pytest

from automl.core.errors import InputError
from automl.core.problem import Problem
from benchmarks.amc_episode import AmcEpisode, AmcObserver, remembered
from envs.episode import Action
from envs.layout import Layout
from envs.observation import Observer
from tests.contracts.joint import JointEvaluator, joint_problem
from tests.contracts.problem import SeparableEvaluator, separable_problem
from tests.envs.problems import branched_problem

OVER = (1.0, 1.0, 0.5, 1.0, 0.0, 0.0, 0.0, 0.0)
"""Keep ratios of the eight blocks, which cost the same."""


def separable() -> Problem:
    return separable_problem(SeparableEvaluator())


def actions(ratios: Sequence[float]) -> list[Action]:
    return [np.array([2.0 * ratio - 1.0], dtype=np.float32) for ratio in ratios]


def played(problem: Problem, ratios: Sequence[float]) -> AmcEpisode:
    episode = AmcEpisode(Layout.of(problem))
    for action in actions(ratios):
        episode.act(action)
    return episode


def test_the_wall_leaves_a_fifth_of_its_channels_to_each_undecided_block() -> None:
    # Half of eight equal blocks is four whole ones.
    assert played(separable(), []).wall(0) == 1.0  # 4 - 7 x 0.2 is more than a whole block
    assert played(separable(), [1.0, 1.0]).wall(2) == pytest.approx(4 - 2 - 5 * 0.2)
    assert played(separable(), [1.0, 1.0, 0.5]).wall(3) == pytest.approx(4 - 2.5 - 4 * 0.2)
    assert played(separable(), [1.0, 1.0, 1.0]).wall(3) == pytest.approx(4 - 3 - 4 * 0.2)
    # That cuts a fourth whole one to 0.2, which is rounded up to 0.25; then even a fifth is too much.
    assert played(separable(), [1.0, 1.0, 1.0, 1.0]).wall(4) == pytest.approx(4 - 3.25 - 3 * 0.2)


def test_the_wall_counts_layers_between_two_groups() -> None:
    # 442 s + 16 s a + 144 a b + 16 b s multiply-adds for s, a, b channels; b is decided before a, whose branch it ends.
    episode = played(branched_problem(), [1.0])
    (knob,) = episode.layout.steps[1].knobs
    assert knob == 2
    half = (442 * 16 + 16 * 16 * 8 + 144 * 8 * 8 + 16 * 8 * 16) / 2
    most = (half - 442 * 16 - 16 * 16 * 1.6) / (144 * 1.6 + 16 * 16)
    assert episode.wall(knob) == pytest.approx(most / 8)


def test_widths_that_are_rounded_up_behind_the_wall_exceed_the_budget() -> None:
    problem = separable()
    policy = played(problem, OVER).policy()
    # The fourth stops at 0.7: 22 channels, and so 24; then each gets 0.2: 6 channels, and so 8.
    assert list(policy.channels.values()) == [32, 32, 16, 24, 8, 8, 8, 8]
    assert problem.budget.used(problem.cost_model(policy), problem.dense) == pytest.approx(136 / 128)


def test_nothing_is_filled_and_a_fifth_always_stays() -> None:
    problem = separable()
    policy = played(problem, [0.0] * 8).policy()
    assert set(policy.channels.values()) == {8}
    assert problem.budget.used(problem.cost_model(policy), problem.dense) == pytest.approx(0.5)


def test_no_branch_is_dropped() -> None:
    policy = played(branched_problem(), [0.0, 0.0, 0.0]).policy()
    assert policy.channels == {"s": 3, "b": 2, "a": 2}


def test_what_is_executed_is_the_rounded_ratio() -> None:
    episode = AmcEpisode(Layout.of(separable()))
    assert episode.act(actions([0.05])[0]).tolist() == pytest.approx([2 * 8 / 32 - 1])
    assert episode.last.tolist() == pytest.approx([-0.5])


def test_the_actors_own_actions_are_remembered_beside_what_was_seen() -> None:
    layout = Layout.of(separable())
    observer = AmcObserver(layout)
    found = remembered(layout, observer, actions(OVER))
    assert found.actions.flatten().tolist() == [2 * ratio - 1 for ratio in OVER]
    executed = found.observations[1:, observer.names.index("last channels")]
    np.testing.assert_allclose(executed, np.array([32, 32, 16, 24, 8, 8, 8, 8]) / 32, rtol=1e-6)


def test_what_the_table_and_the_solver_say_is_hidden_and_all_else_is_seen() -> None:
    layout = Layout.of(separable())
    episode = played(separable(), [0.5])
    whole, seen = Observer(layout), AmcObserver(layout)
    hidden = {
        "expected",
        "solver's channels",
        *(f"loss at {at} of channels" for at in ("0.125", "0.25", "0.5", "0.75")),
    }
    assert hidden < set(seen.names)
    for name, before, after in zip(seen.names, whole(episode), seen(episode), strict=True):
        assert after == (0.0 if name in hidden else before), name
    assert seen(episode).dtype == np.float32


def test_other_budgets_and_bit_widths_are_refused() -> None:
    with pytest.raises(InputError, match=r"flops only, but got one on params"):
        AmcEpisode(Layout.of(branched_problem("0.6flops,0.5params")))
    with pytest.raises(InputError, match=r"flops only, but got one on bops"):
        AmcEpisode(Layout.of(joint_problem(JointEvaluator())))
