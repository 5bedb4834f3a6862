from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from automl.core.problem import LARGEST_LOG, Problem
from envs.episode import DirectEpisode, Episode, ResidualEpisode
from envs.layout import Layout
from tests.contracts.joint import JointEvaluator, joint_problem
from tests.contracts.problem import SeparableEvaluator, least_divergence, separable_problem
from tests.envs.problems import CHOICES, branched_problem

PROBLEMS: dict[str, Callable[[], Problem]] = {
    "separable": lambda: separable_problem(SeparableEvaluator()),
    "branched": branched_problem,
    "two limits": lambda: branched_problem("0.6flops,0.5params"),
    "joint": lambda: joint_problem(JointEvaluator()),
}


def random_actions(layout: Layout, generator: np.random.Generator) -> np.ndarray:
    shape = (len(layout.steps), len(layout.steps[0].knobs))
    return np.asarray(generator.uniform(-1, 1, shape), dtype=np.float32)


def play(episode: Episode, actions: np.ndarray) -> np.ndarray:
    return np.stack([episode.act(action) for action in actions])


@pytest.fixture(params=PROBLEMS)
def problem(request: pytest.FixtureRequest) -> Problem:
    return PROBLEMS[request.param]()


def uses(problem: Problem, kind: type[Episode]) -> list[float]:
    layout = Layout.of(problem)
    generator = np.random.default_rng(0)
    found = []
    for _ in range(40):
        episode = kind(layout)
        play(episode, random_actions(layout, generator))
        found.append(problem.budget.used(problem.cost_model(episode.policy()), problem.dense))
    return found


@pytest.mark.parametrize("kind", [DirectEpisode, ResidualEpisode])
def test_every_episode_ends_within_the_budget(problem: Problem, kind: type[Episode]) -> None:
    assert max(uses(problem, kind)) <= 1.0


def test_random_values_use_the_budget(problem: Problem) -> None:
    assert np.median(uses(problem, DirectEpisode)) >= 0.98


@pytest.mark.parametrize("kind", [DirectEpisode, ResidualEpisode])
def test_what_was_executed_leads_to_the_same_policy_and_is_executed_as_it_is(
    problem: Problem, kind: type[Episode]
) -> None:
    layout = Layout.of(problem)
    episode, again = kind(layout), kind(layout)
    executed = play(episode, random_actions(layout, np.random.default_rng(1)))
    np.testing.assert_allclose(play(again, executed), executed, atol=1e-6)
    assert again.policy() == episode.policy()


def test_a_known_policy_is_followed_to_its_end(problem: Problem) -> None:
    layout = Layout.of(problem)
    target = DirectEpisode(layout)
    play(target, random_actions(layout, np.random.default_rng(2)))
    policy = target.policy()
    episode = DirectEpisode(layout)
    actions = []
    while not episode.done:
        actions.append(episode.follow(problem.values(policy).astype(np.float64)))
    assert problem.cost_model(episode.policy()) == problem.cost_model(policy)
    again = DirectEpisode(layout)
    play(again, np.stack(actions))
    assert problem.cost_model(again.policy()) == problem.cost_model(policy)


def test_intervals_hold_every_policy_of_the_budget_and_no_dead_end() -> None:
    problem = branched_problem()
    layout = Layout.of(problem)
    names = list(CHOICES)
    rows = np.array(list(product(*CHOICES.values())))
    rows = np.unique(layout.with_drops(rows), axis=0)
    used = problem.projection.used(rows)
    within = rows[(used >= 0.98) & (used <= 1.0)]
    assert len(within) > 1
    for target in within:
        episode = DirectEpisode(layout)
        while not episode.done:
            knob = layout.steps[episode.step].knobs[0]
            assert knob is not None
            same = (rows[:, episode.decided] == episode.values[episode.decided]).all(axis=1)
            low, high = episode.interval(knob)
            for value in (low, high):
                chosen = same & (rows[:, knob] == value)
                assert used[chosen].min() <= 1.0, (names[knob], value)
            assert low <= target[knob] <= high
            episode.follow(target.astype(np.float64))


def test_the_inner_group_of_a_dropped_branch_goes_with_it() -> None:
    problem = branched_problem()
    episode = DirectEpisode(Layout.of(problem))
    episode.follow(np.array([12.0, 0.0, 0.0]))
    episode.follow(np.array([12.0, 0.0, 0.0]))
    assert episode.interval(1) == (0, 0)
    assert episode.act(np.ones(1, dtype=np.float32)).tolist() == [0.0]
    assert problem.cost_model(episode.policy()).macs <= 0.5 * problem.dense.macs
    assert episode.policy().channels["a"] == episode.policy().channels["b"] == 0


def test_actions_out_of_range_are_those_at_the_end_of_the_range() -> None:
    layout = Layout.of(separable_problem(SeparableEvaluator()))
    episode = DirectEpisode(layout)
    assert episode.act(np.full(1, 7.0, dtype=np.float32)).tolist() == [1.0]
    assert episode.values[0] == 32
    assert episode.act(np.full(1, -7.0, dtype=np.float32)).tolist() == [-1.0]
    assert episode.values[1] == 4


def test_no_correction_is_the_solver_itself() -> None:
    problem = separable_problem(SeparableEvaluator())
    layout = Layout.of(problem)
    episode = ResidualEpisode(layout)
    play(episode, np.zeros((8, 1), dtype=np.float32))
    assert episode.policy() == problem.solved([0.0] * 8)


def test_the_right_corrections_lead_to_the_optimum() -> None:
    evaluator = SeparableEvaluator()
    problem = separable_problem(evaluator)
    # The table is wrong by these factors (tests/contracts/problem.py).
    factors = np.array([0.3, 2.5, 0.4, 3.0, 0.35, 2.0, 3.5, 0.5])
    episode = ResidualEpisode(Layout.of(problem))
    while not episode.done:
        episode.follow(-np.log(factors))
    assert evaluator(episode.policy()).divergence == pytest.approx(least_divergence(), rel=1e-6)
    np.testing.assert_allclose(episode.log_multipliers, -np.log(factors), rtol=1e-5)


def test_a_correction_is_at_most_the_largest_one() -> None:
    episode = ResidualEpisode(Layout.of(separable_problem(SeparableEvaluator())))
    assert episode.follow(np.full(8, 9.0)).tolist() == [1.0]
    assert episode.log_multipliers[0] == LARGEST_LOG


def test_the_potential_is_0_along_the_solvers_answer_and_lower_off_it(problem: Problem) -> None:
    layout = Layout.of(problem)
    episode = DirectEpisode(layout)
    while not episode.done:
        assert episode.potential() == pytest.approx(0.0, abs=1e-9)
        episode.follow(layout.plain.astype(np.float64))
    generator = np.random.default_rng(0)
    ends = []
    for _ in range(20):
        other = DirectEpisode(layout)
        play(other, random_actions(layout, generator))
        ends.append(other.potential())
    assert np.median(ends) < 0
