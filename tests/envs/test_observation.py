import math

import numpy as np
import pytest

from envs.episode import DirectEpisode, Episode, ResidualEpisode
from envs.layout import Layout
from envs.observation import Observer
from tests.contracts.joint import JointEvaluator, joint_problem
from tests.contracts.problem import SeparableEvaluator, separable_problem
from tests.envs.problems import branched_problem


def seen(observer: Observer, episode: Episode) -> dict[str, float]:
    return dict(zip(observer.names, observer(episode).tolist(), strict=True))


def test_what_is_seen_of_the_first_of_eight_equal_blocks() -> None:
    problem = separable_problem(SeparableEvaluator())
    layout = Layout.of(problem)
    episode = DirectEpisode(layout)
    first = seen(Observer(layout), episode)
    expected = {
        "place": 0.0,
        "depthwise": 0.0,
        "linear": 0.0,
        "outputs": 5 / 12,  # 32 channels
        "inputs": 2 / 12,
        "height": 0.0,
        "stride": 0.25,
        "kernel": 1 / 11,
        "macs": 1 / 16,  # the layer, without the one behind it
        "rest": 7 / 16,
        "removed": 0.0,
        "expected": 0.5,
        "allowed flops": 0.5,
        "least flops": 0.25,  # 4 of 32 channels, of a half
        "most flops": 2 / 3,  # twice the budget
        "last channels": 0.5,
    }
    for name, value in expected.items():
        assert first[name] == pytest.approx(value, abs=1e-6), name
    row = problem.sensitivity.losses
    largest = max(each[0] for each in row)
    halved = row[0][3]
    assert first["loss at 0.5 of channels"] == pytest.approx(1 + math.log10(halved / largest) / 6, abs=1e-6)
    assert first["solver's channels"] == layout.plain[0] / 32


def test_a_step_changes_what_is_left() -> None:
    layout = Layout.of(separable_problem(SeparableEvaluator()))
    observer, episode = Observer(layout), DirectEpisode(layout)
    episode.act(np.full(1, -1.0, dtype=np.float32))  # 4 of 32 channels of one block of eight
    second = seen(observer, episode)
    assert second["removed"] == pytest.approx(28 / 32 / 8, abs=1e-6)
    most = 2 * (1 - 28 / 32 / 8)
    assert second["most flops"] == pytest.approx(most / (1 + most), abs=1e-6)
    assert second["least flops"] == pytest.approx(0.25, abs=1e-6)
    assert second["last channels"] == 0.0
    assert second["place"] == pytest.approx(1 / 7, abs=1e-6)


def test_bits_are_seen_where_they_are_searched() -> None:
    layout = Layout.of(joint_problem(JointEvaluator()))
    observer = Observer(layout)
    first = seen(observer, DirectEpisode(layout))
    assert first["loss at 0 of weight_bits"] > 0
    assert first["solver's weight_bits"] in (0.0, 1.0)
    assert first["solver's input_bits"] == 1.0  # 8 bits are the only choice
    assert {"last channels", "last weight_bits", "last input_bits", "allowed bops"} <= set(first)


@pytest.mark.parametrize("kind", [DirectEpisode, ResidualEpisode])
@pytest.mark.parametrize("budget", ["0.5flops", "0.6flops,0.5params"])
def test_all_that_is_seen_lies_between_0_and_1(kind: type[Episode], budget: str) -> None:
    layout = Layout.of(branched_problem(budget))
    observer, generator = Observer(layout), np.random.default_rng(0)
    for _ in range(20):
        episode = kind(layout)
        while True:
            found = observer(episode)
            assert found.dtype == np.float32
            assert found.shape == (len(observer.names),)
            assert bool(((found >= 0) & (found <= 1)).all())
            if episode.done:
                break
            episode.act(generator.uniform(-1, 1, 1).astype(np.float32))
