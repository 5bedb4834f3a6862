"""What a completed trial teaches an agent, whoever proposed it."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from automl.core.problem import Problem
from automl.search.multipliers import matching, multiplier_names
from automl.store.trials import GIVEN, recall
from envs.layout import Layout
from envs.mode import Mode
from envs.reward import find_reward

_LEAST_LOSS = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """An episode to follow, and what it was worth."""

    target: NDArray[np.float64]
    """Shape `(knobs,)`: what `Episode.follow` takes."""
    reward: float


def lesson_of(trial: FrozenTrial, layout: Layout, mode: Mode, reward: str) -> Lesson | None:
    """The lesson of a completed trial.

    Corrections of the solver may lead only near a policy that others proposed. What the table says of the two policies
    is then heeded, as far as the reward is one that the table knows of.

    Args:
        trial: As the study has it.
        layout: Of the problem's decisions.
        mode: What actions are.
        reward: A name of `envs.reward.REWARDS`.

    Returns:
        None where no correction leads to the policy, and nothing says how far off the nearest one is.
    """
    evaluation, problem = recall(trial), layout.problem
    worth = find_reward(reward)
    if mode == "direct":
        values = problem.values(evaluation.policy).astype(np.float64)
        return Lesson(values, worth(evaluation, layout.expected))
    target = _corrections(trial, problem, evaluation)
    reached = None if _sampled(trial, problem) else problem.solved(target.tolist())
    if reached is None or reached.digest() == evaluation.policy.digest():
        return Lesson(target, worth(evaluation, layout.expected))
    if reward != "kl":
        return None
    ratio = _expected(problem, reached) / _expected(problem, evaluation.policy)
    nearest = replace(evaluation, divergence=evaluation.divergence * ratio)
    return Lesson(target, worth(nearest, layout.expected))


def given(trial: FrozenTrial) -> bool:
    """Whether its parameters were given, not sampled; the uniform policy has parameters that are only near it."""
    return bool(trial.user_attrs.get(GIVEN))


def _sampled(trial: FrozenTrial, problem: Problem) -> bool:
    """Whether the policy is what the solver makes of its parameters."""
    return not given(trial) and all(name in trial.params for name in multiplier_names(problem))


def _corrections(trial: FrozenTrial, problem: Problem, evaluation: Evaluation) -> NDArray[np.float64]:
    names = multiplier_names(problem)
    if all(name in trial.params for name in names):
        return np.array([trial.params[name] for name in names])
    return matching(problem, evaluation.policy)


def _expected(problem: Problem, policy: CompressionPolicy) -> float:
    """Loss in nats, by the sensitivity table."""
    return max(sum(problem.sensitivity.parts(problem.values(policy).tolist())), _LEAST_LOSS)
