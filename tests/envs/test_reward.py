import math

import pytest

from automl.core.cost import Cost
from automl.core.errors import InputError
from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from envs.reward import find_reward

FOUND = Evaluation(CompressionPolicy({}), Cost(1000, 10, 40, 1), 0.2, 0.75, (0.7, 0.8), images=100, seconds=1.0)


def test_the_divergence_counts_by_its_factor_over_what_was_expected() -> None:
    reward = find_reward("kl")
    assert reward(FOUND, 0.2) == pytest.approx(0.0)
    assert reward(FOUND, 0.4) == pytest.approx(math.log(2), abs=1e-4)
    assert math.isfinite(reward(FOUND, 0.0))


def test_amcs_rewards() -> None:
    assert find_reward("accuracy")(FOUND, 0.2) == 0.75
    assert find_reward("accuracy-flops")(FOUND, 0.2) == pytest.approx(-0.25 * math.log(1000))


def test_an_unknown_reward_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"'acuracy' is not\. Did you mean accuracy"):
        find_reward("acuracy")
    with pytest.raises(InputError, match="There are: kl, accuracy, accuracy-flops"):
        find_reward("joy")
