from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, VectorEnv

from automl.core.errors import InputError, SearchError
from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from envs.registration import ID
from envs.vector import CompressionVectorEnv
from tests.contracts.joint import JointEvaluator, joint_problem
from tests.contracts.problem import SeparableEvaluator, separable_problem

COUNT = 3
STEPS = 8
"""Of an episode of the separable problem: one per block."""


def rollout(env: VectorEnv[Any, Any, Any], steps: int) -> list[Any]:
    """What is seen, rewarded and told; the actions are the same for every environment of the same size."""
    found: list[Any] = [env.reset(seed=0)]
    env.action_space.seed(7)
    return found + [env.step(env.action_space.sample()) for _ in range(steps)]


def finish(env: CompressionVectorEnv) -> None:
    """Takes all steps of an episode, as the solver would."""
    for _ in range(STEPS):
        env.step(zeros())


def zeros(count: int = COUNT) -> np.ndarray:
    return np.zeros((count, 1), dtype=np.float32)


@pytest.mark.parametrize(
    "settings",
    [{}, {"mode": "direct"}, {"mode": "direct", "shaped": True, "reward": "accuracy"}],
    ids=["residual", "direct", "shaped"],
)
@pytest.mark.parametrize("joint", [False, True])
def test_each_episode_goes_as_in_a_single_environment(settings: dict[str, Any], joint: bool) -> None:
    problem = joint_problem(JointEvaluator()) if joint else separable_problem(SeparableEvaluator())
    ours = gymnasium.make_vec(ID, num_envs=COUNT, problem=problem, **settings)
    single = gymnasium.make_vec(ID, num_envs=COUNT, vectorization_mode="sync", problem=problem, **settings)
    assert isinstance(ours, CompressionVectorEnv)
    assert isinstance(single, gymnasium.vector.SyncVectorEnv)
    steps = len(ours._terms.layout.steps)
    # Two episodes and a half, with the steps that start them.
    both = zip(rollout(ours, 5 * steps // 2), rollout(single, 5 * steps // 2), strict=True)
    for step, (mine, theirs) in enumerate(both):
        assert data_equivalence(mine, theirs, exact=True), step


def test_it_has_the_spaces_of_a_batch() -> None:
    problem = separable_problem(SeparableEvaluator())
    ours = CompressionVectorEnv(problem, COUNT)
    single = gymnasium.make_vec(ID, num_envs=COUNT, vectorization_mode="sync", problem=problem)
    assert ours.num_envs == COUNT
    assert ours.single_action_space == single.single_action_space
    assert ours.single_observation_space == single.single_observation_space
    assert ours.action_space == single.action_space
    assert ours.observation_space == single.observation_space
    assert ours.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    assert len(ours.feature_names) == ours.single_observation_space.shape[0]  # type: ignore[index]


def test_different_policies_are_evaluated_in_one_call_and_equal_ones_once() -> None:
    evaluator = SeparableEvaluator()
    calls: list[list[CompressionPolicy]] = []

    def evaluate_all(policies: Sequence[CompressionPolicy]) -> list[Evaluation]:
        calls.append(list(policies))
        return [evaluator(policy) for policy in policies]

    env = CompressionVectorEnv(separable_problem(SeparableEvaluator()), 4, mode="direct", evaluate_all=evaluate_all)
    env.reset()
    places = np.array([[1.0], [-1.0], [1.0], [0.0]], dtype=np.float32)
    for _ in range(STEPS):
        _, rewards, terminations, _, infos = env.step(places)
    assert terminations.all()
    assert [len(policies) for policies in calls] == [3]
    widths = [[int(infos["channels"][name][place]) for name in calls[0][0].channels] for place in range(4)]
    assert [list(policy.channels.values()) for policy in calls[0]] == [widths[0], widths[1], widths[3]]
    assert widths[2] == widths[0]
    assert rewards[2] == rewards[0] != rewards[1]


def test_equal_policies_are_evaluated_once_where_the_problem_evaluates() -> None:
    evaluator = SeparableEvaluator()
    env = CompressionVectorEnv(separable_problem(evaluator), COUNT)
    env.reset()
    finish(env)
    assert len(evaluator.asked) == 1


def test_the_step_after_the_last_one_starts_new_episodes_and_ignores_its_actions() -> None:
    env = CompressionVectorEnv(separable_problem(SeparableEvaluator()), COUNT)
    first, _ = env.reset()
    for _ in range(STEPS):
        seen, _, terminations, truncations, infos = env.step(zeros())
    assert terminations.all()
    assert not truncations.any()
    assert infos["_divergence"].all()
    assert not np.array_equal(seen, first)
    seen, rewards, terminations, _, infos = env.step(np.full((COUNT, 1), np.nan))
    assert np.array_equal(seen, first)
    assert not rewards.any()
    assert not terminations.any()
    assert infos == {}


@pytest.mark.parametrize("actions", [np.zeros(COUNT), zeros(COUNT + 1), np.array([[0.0], [np.nan], [0.0]])])
def test_bad_actions_are_refused_and_move_no_episode(actions: np.ndarray) -> None:
    env = CompressionVectorEnv(separable_problem(SeparableEvaluator()), COUNT)
    env.reset()
    with pytest.raises(InputError, match=r"An action must be \(3, 1\) finite numbers"):
        env.step(actions)
    ended = [bool(env.step(zeros())[2].all()) for _ in range(STEPS)]
    assert ended == [False] * (STEPS - 1) + [True]


@pytest.mark.parametrize("count", [0, -2])
def test_a_vector_without_episodes_is_refused(count: int) -> None:
    with pytest.raises(InputError, match=f"must have at least 1 episode, but `num_envs` is {count}"):
        CompressionVectorEnv(separable_problem(SeparableEvaluator()), count)


def test_bad_settings_are_refused_as_in_a_single_environment() -> None:
    problem = separable_problem(SeparableEvaluator())
    with pytest.raises(InputError, match="residual or direct, but got 'indirect'"):
        CompressionVectorEnv(problem, COUNT, mode="indirect")
    with pytest.raises(InputError, match="shaped where actions are values"):
        CompressionVectorEnv(problem, COUNT, shaped=True)


def test_evaluations_that_are_missing_are_refused() -> None:
    env = CompressionVectorEnv(separable_problem(SeparableEvaluator()), COUNT, evaluate_all=lambda policies: [])
    env.reset()
    with pytest.raises(InputError, match="it got 1 and returned 0"):
        finish(env)


def test_episodes_must_be_reset_at_first_and_where_an_evaluation_failed() -> None:
    def failing(policy: CompressionPolicy) -> Evaluation:
        raise SearchError("The logits are not finite.")

    env = CompressionVectorEnv(separable_problem(failing), COUNT)
    with pytest.raises(ResetNeeded):
        env.step(zeros())
    env.reset()
    with pytest.raises(SearchError, match="not finite"):
        finish(env)
    with pytest.raises(ResetNeeded):
        env.step(zeros())


def test_a_part_of_the_episodes_cannot_be_reset() -> None:
    env = CompressionVectorEnv(separable_problem(SeparableEvaluator()), COUNT)
    env.reset(options={"reset_mask": np.ones(COUNT, dtype=np.bool_)})
    with pytest.raises(InputError, match="must be reset together"):
        env.reset(options={"reset_mask": np.array([True, False, True])})
