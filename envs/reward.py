"""What an episode is worth, by name."""

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass

from automl.core.errors import InputError
from automl.core.evaluation import Evaluation

_LEAST_LOSS = 1e-6
"""Nats; below it the divergence is rounding of the logits."""

Reward = Callable[[Evaluation, float], float]
"""(what was measured, loss in nats that the sensitivity table expects of the solver's answer) -> reward."""


@dataclass(frozen=True, slots=True)
class RewardEntry:
    """One way to reward a policy; higher is better."""

    description: str
    value: Reward


def divergence_reward(evaluation: Evaluation, expected: float) -> float:
    """Minus the logarithm of the divergence, over what the table expects of the solver's answer; 0 where they agree.

    A difference of 0.1 is one of 10% in the divergence, at every budget.
    """
    return loss_reward(evaluation.divergence, expected)


def loss_reward(loss: float, expected: float) -> float:
    """`divergence_reward` of any loss in nats."""
    return -math.log((loss + _LEAST_LOSS) / (expected + _LEAST_LOSS))


def accuracy_reward(evaluation: Evaluation, expected: float) -> float:
    """The share of right answers (AMC's `acc_reward`, He et al. 2018, section 3.4)."""
    return evaluation.accuracy


def accuracy_guaranteed_reward(evaluation: Evaluation, expected: float) -> float:
    """Minus the error times the logarithm of the multiply-adds (AMC's `R_FLOPs`, He et al. 2018, section 3.4)."""
    return -(1.0 - evaluation.accuracy) * math.log(evaluation.cost.macs)


REWARDS: dict[str, RewardEntry] = {
    "kl": RewardEntry("minus the logarithm of the divergence from the dense network", divergence_reward),
    "accuracy": RewardEntry("share of right answers (AMC)", accuracy_reward),
    "accuracy-flops": RewardEntry("minus the error times log(MACs) (AMC)", accuracy_guaranteed_reward),
}


def find_reward(name: str) -> Reward:
    """The reward called `name`.

    Raises:
        InputError: If there is none; the nearest names are offered.
    """
    if name in REWARDS:
        return REWARDS[name].value
    near = difflib.get_close_matches(name, REWARDS)
    way_out = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(REWARDS)}."
    raise InputError(f"A reward must be one that there is, but {name!r} is not. {way_out}")
