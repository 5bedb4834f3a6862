from typing import get_args

import numpy as np
import pytest
import torch

from automl.search.agent_settings import Algorithm, parse_settings
from automl.search.learner import Learner, truncated_normal
from envs.compression import CompressionEnv
from envs.trajectory import Trajectory
from tests.contracts.problem import SeparableEvaluator, separable_problem

ALGORITHMS = get_args(Algorithm)
SMALL = "hidden=16,batch=16"
STEPS = 8


def learner(algorithm: Algorithm = "td3", text: str = SMALL, seed: int = 0) -> Learner:
    env = CompressionEnv(separable_problem(SeparableEvaluator()))
    return Learner(algorithm, parse_settings(algorithm, text), env, STEPS, seed)


def trajectory(generator: np.random.Generator) -> Trajectory:
    features = CompressionEnv(separable_problem(SeparableEvaluator())).observation_space.shape
    assert features is not None
    return Trajectory(
        generator.random((STEPS + 1, *features), dtype=np.float32),
        generator.uniform(-1, 1, (STEPS, 1)).astype(np.float32),
        np.zeros(STEPS),
    )


def taught(found: Learner, first: int, last: int) -> None:
    for episode in range(first, last):
        made = trajectory(np.random.default_rng(episode))
        # What pays is an action near what the first feature says.
        found.remember(made, -float(np.abs(made.actions[:, 0] - made.observations[:-1, 0]).mean()))
        found.train_on_an_episode()


def answers(found: Learner) -> np.ndarray:
    seen = trajectory(np.random.default_rng(99)).observations
    return np.stack([found.act(each, sampled=False) for each in seen])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_that_goes_on_from_its_state_learns_bit_by_bit_the_same(algorithm: Algorithm) -> None:
    whole = learner(algorithm)
    taught(whole, 0, 6)
    first = learner(algorithm)
    taught(first, 0, 3)
    state = first.state()
    torch.rand(3)  # random numbers of others do not matter
    second = learner(algorithm)
    second.restore(state)
    taught(second, 3, 6)
    assert answers(second).tolist() == answers(whole).tolist()
    for name, values in whole.state()["parameters"]["policy"].items():
        assert torch.equal(values, second.state()["parameters"]["policy"][name]), name


def test_the_oldest_episode_goes_and_a_full_memory_goes_on_too() -> None:
    text = f"{SMALL},memory=3"
    whole = learner(text=text)
    taught(whole, 0, 8)
    first = learner(text=text)
    taught(first, 0, 5)
    second = learner(text=text)
    second.restore(first.state())
    taught(second, 5, 8)
    assert answers(second).tolist() == answers(whole).tolist()
    assert len(whole.state()["memory"]["told"]) == 3 * STEPS


def test_training_leaves_the_random_numbers_of_others_alone() -> None:
    torch.manual_seed(5)
    found = learner()
    taught(found, 0, 1)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))


def test_what_was_forgotten_is_learned_already_but_not_again() -> None:
    found = learner()
    taught(found, 0, 3)
    before = answers(found).tolist()
    found.forget()
    assert answers(found).tolist() == before
    assert len(found.state()["memory"]["told"]) == 0
    taught(found, 3, 4)
    assert len(found.state()["memory"]["told"]) == STEPS


def test_corrections_that_bring_nothing_get_small_where_they_have_a_price() -> None:
    large: dict[int, float] = {}
    for prior in (0, 3):
        found = learner(text=f"hidden=16,batch=64,prior={prior}")
        for episode in range(60):
            found.remember(trajectory(np.random.default_rng(episode)), float(episode % 2))
            found.train_on_an_episode()
        large[prior] = float(np.abs(answers(found)).mean())
    assert large[3] < 0.2
    assert large[3] < large[0] / 2


def test_steps_are_told_the_return_or_the_copied_reward() -> None:
    made = trajectory(np.random.default_rng(0))
    returned, copied = learner(text=SMALL), learner("ddpg", "hidden=16")
    returned.remember(made, -2.0)
    copied.remember(made, -2.0)
    for each, ends in ((returned, [1.0] * STEPS), (copied, [0.0] * 7 + [1.0])):
        memory = each.state()["memory"]
        assert memory["told"].flatten().tolist() == [-2.0] * STEPS
        assert memory["dones"].flatten().tolist() == ends


def test_of_actions_that_are_values_the_return_is_what_is_left_of_the_potential() -> None:
    made = trajectory(np.random.default_rng(0))
    made.potentials[:] = [0.0, -0.1, -0.1, -0.3, -0.3, -0.3, -0.2, -0.2]
    found = learner(text=f"{SMALL},actions=direct")
    found.remember(made, -2.0)
    told = found.state()["memory"]["told"].flatten().numpy()
    np.testing.assert_allclose(told, -2.0 - made.potentials, atol=1e-6)


def test_amc_has_two_learning_rates() -> None:
    found = learner("ddpg", "hidden=16")
    taught(found, 0, 1)
    parameters = found.state()["parameters"]
    assert parameters["actor.optimizer"]["param_groups"][0]["lr"] == 1e-4
    assert parameters["critic.optimizer"]["param_groups"][0]["lr"] == 1e-3


def test_a_truncated_normal_stays_in_range_and_near_its_mean() -> None:
    generator = np.random.default_rng(0)
    drawn = np.stack([truncated_normal(np.array([0.9, 0.0], dtype=np.float32), 0.3, generator) for _ in range(2000)])
    assert drawn.dtype == np.float32
    assert bool((np.abs(drawn) <= 1.0).all())
    # Mean of N(0.9, 0.3) cut at 1: 0.9 - 0.3 * pdf(1/3) / cdf(1/3) by the standard formula.
    np.testing.assert_allclose(drawn.mean(axis=0), [0.9 - 0.3 * 0.3774 / 0.6306, 0.0], atol=0.03)
