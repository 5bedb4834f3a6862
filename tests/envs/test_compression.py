import itertools
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from automl.core.errors import InputError
from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from automl.core.problem import Problem
from envs.compression import CompressionEnv
from envs.registration import ID
from tests.contracts.joint import JointEvaluator, joint_problem
from tests.contracts.problem import SeparableEvaluator, separable_problem

MODES = ("residual", "direct")


def timed(problem: Problem) -> Problem:
    """Each evaluation takes another time, as real ones do."""
    clock = itertools.count(1)

    def evaluate(policy: CompressionPolicy) -> Evaluation:
        return replace(problem.evaluate(policy), seconds=float(next(clock)))

    return replace(problem, evaluate=evaluate)


def rollout(env: CompressionEnv, seed: int) -> list[object]:
    env.action_space.seed(seed)
    seen, _ = env.reset(seed=seed)
    found: list[object] = [seen.tolist()]
    ended = False
    while not ended:
        seen, reward, ended, _, info = env.step(env.action_space.sample())
        found += [seen.tolist(), reward, info]
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("joint", [False, True])
def test_it_is_an_environment_as_gymnasium_and_sb3_check_it(mode: str, joint: bool) -> None:
    problem = joint_problem(JointEvaluator()) if joint else separable_problem(SeparableEvaluator())
    made = gymnasium.make(ID, problem=timed(problem), mode=mode)
    check_env(made.unwrapped, skip_render_check=True)
    sb3_check_env(CompressionEnv(timed(problem), mode=mode))


@pytest.mark.parametrize("mode", MODES)
def test_one_seed_gives_one_rollout(mode: str) -> None:
    env = CompressionEnv(timed(separable_problem(SeparableEvaluator())), mode=mode)
    assert rollout(env, seed=5) == rollout(env, seed=5)


@pytest.mark.parametrize("mode", MODES)
def test_an_episode_asks_for_one_evaluation_at_its_end(mode: str) -> None:
    evaluator = SeparableEvaluator()
    env = CompressionEnv(separable_problem(evaluator), mode=mode)
    facts = rollout(env, seed=0)[-1]
    assert isinstance(facts, dict)
    assert [policy.channels for policy in evaluator.asked] == [facts["channels"]]
    assert 0.98 <= facts["used"] <= 1.0
    assert facts["divergence"] == evaluator(evaluator.asked[0]).divergence


def test_the_sum_of_shaped_rewards_is_the_reward_without() -> None:
    problem = separable_problem(SeparableEvaluator())
    sums = []
    for shaped in (False, True):
        found = rollout(CompressionEnv(problem, mode="direct", shaped=shaped), seed=1)
        sums.append(sum(value for value in found if isinstance(value, float)))
    assert sums[0] == pytest.approx(sums[1])


def test_bits_are_among_the_facts() -> None:
    facts = rollout(CompressionEnv(joint_problem(JointEvaluator()), mode="direct"), seed=0)[-1]
    assert isinstance(facts, dict)
    assert facts["bits"]["block0"][0] in (4, 8)
    assert facts["bops"] <= 0.02 * 2048 * 32 * 32


def test_what_is_decided_so_far_can_be_read() -> None:
    env = CompressionEnv(separable_problem(SeparableEvaluator()), mode="direct", render_mode="ansi")
    env.reset()
    env.step(np.ones(1, dtype=np.float32))
    assert env.render() == "block0: channels 32 of 32"


@pytest.mark.parametrize("action", [np.zeros(2), np.array([np.nan]), np.array(0.0)])
def test_a_bad_action_is_refused(action: np.ndarray) -> None:
    env = CompressionEnv(separable_problem(SeparableEvaluator()))
    env.reset()
    with pytest.raises(InputError, match=r"An action must be \(1,\) finite numbers"):
        env.step(action)


def test_an_ended_episode_must_be_reset() -> None:
    env = CompressionEnv(separable_problem(SeparableEvaluator()))
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(1, dtype=np.float32))
    rollout(env, seed=0)
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(1, dtype=np.float32))


def test_bad_settings_are_refused() -> None:
    problem = separable_problem(SeparableEvaluator())
    with pytest.raises(InputError, match="residual or direct, but got 'indirect'"):
        CompressionEnv(problem, mode="indirect")
    with pytest.raises(InputError, match="A reward must be one that there is"):
        CompressionEnv(problem, reward="fame")
    with pytest.raises(InputError, match="shaped where actions are values"):
        CompressionEnv(problem, shaped=True)


def test_a_problem_without_anything_to_decide_is_refused() -> None:
    problem = replace(separable_problem(SeparableEvaluator()), knobs=())
    with pytest.raises(InputError, match="must have something to decide"):
        CompressionEnv(problem)
