import numpy as np
import pytest

from envs.episode import DirectEpisode
from envs.layout import Layout
from envs.observation import Observer
from envs.trajectory import followed, played
from tests.contracts.problem import SeparableEvaluator, separable_problem


@pytest.fixture
def layout() -> Layout:
    return Layout.of(separable_problem(SeparableEvaluator()))


def test_a_trajectory_holds_what_was_seen_and_what_was_executed(layout: Layout) -> None:
    observer = Observer(layout)
    generator = np.random.default_rng(0)
    found = played(DirectEpisode(layout), observer, lambda seen: generator.uniform(-1, 1, 1).astype(np.float32))
    assert found.observations.shape == (9, len(observer.names))
    assert found.actions.shape == (8, 1)
    episode = DirectEpisode(layout)
    for seen, action in zip(found.observations, found.actions, strict=False):
        np.testing.assert_array_equal(observer(episode), seen)
        episode.act(action)


def test_shaping_moves_rewards_but_not_their_sum(layout: Layout) -> None:
    observer = Observer(layout)
    found = followed(DirectEpisode(layout), observer, np.array([4.0, 4, 4, 20, 32, 32, 24, 8]))
    plain, shaped = found.rewards(-1.5, shaped=False), found.rewards(-1.5, shaped=True)
    assert plain.tolist() == [0.0] * 7 + [-1.5]
    assert shaped.sum() == pytest.approx(-1.5)
    assert shaped[0] < 0  # the block that matters most is cut to an eighth
