"""Episodes on the sensitivity table: an agent learns what the table knows before any network is measured."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from automl.core.budget import Budget
from automl.core.errors import BudgetError
from automl.core.problem import LARGEST_LOG, Problem
from automl.core.projection import Projection
from automl.search.solver import Solver
from envs.layout import Layout
from envs.mode import Mode, new_episode
from envs.observation import Observer
from envs.reward import loss_reward
from envs.trajectory import Trajectory, followed, played

_SCALES = (1.0, 0.8, 1.25)
"""Of the budget; what holds near it is learned from its neighbours too."""
_SPREAD = 0.5
"""Standard deviation of the logarithms of the multipliers."""


@dataclass(frozen=True, slots=True, eq=False)
class Rehearsal:
    """One episode and what the table says of its policy."""

    trajectory: Trajectory
    reward: float
    """As `envs.reward.divergence_reward` would have it, if the table were right."""


def rehearsals(problem: Problem, mode: Mode, episodes: int, generator: np.random.Generator) -> Iterator[Rehearsal]:
    """So many episodes for the budget and for each of its neighbours: the solver's answer first, then changes of it.

    An episode of another budget is one of this problem with another goal: observations say what the budget allows.
    """
    for neighbour in _neighbours(problem):
        layout = Layout.of(neighbour)
        observer = Observer(layout)
        for number in range(episodes):
            yield _rehearsed(layout, observer, mode, number, generator)


def _rehearsed(
    layout: Layout, observer: Observer, mode: Mode, number: int, generator: np.random.Generator
) -> Rehearsal:
    problem = layout.problem
    z = np.clip(generator.normal(0.0, _SPREAD, len(problem.knobs)), -LARGEST_LOG, LARGEST_LOG) * (number > 0)
    episode = new_episode(layout, mode)
    if mode == "residual":
        trajectory = followed(episode, observer, z)
    elif number % 2:
        size = len(layout.steps[0].knobs)
        trajectory = played(episode, observer, lambda _: generator.uniform(-1.0, 1.0, size).astype(np.float32))
    else:
        trajectory = followed(episode, observer, _values(problem, z))
    policy = episode.policy()
    loss = sum(problem.sensitivity.parts(problem.values(policy).tolist()))
    return Rehearsal(trajectory, loss_reward(loss, layout.expected))


def _values(problem: Problem, log_multipliers: NDArray[np.float64]) -> NDArray[np.float64]:
    return problem.values(problem.solved(log_multipliers.tolist())).astype(np.float64)


def _neighbours(problem: Problem) -> Iterator[Problem]:
    """The problem itself, then under tighter and wider budgets; those out of reach are left out."""
    for scale in _SCALES:
        limits = tuple(replace(limit, value=limit.value * scale) for limit in problem.budget.limits)
        budget = Budget(limits)
        try:
            projection = Projection(problem.knobs, problem.cost_model, budget, problem.dense)
        except BudgetError:
            continue
        solver = Solver(problem.knobs, problem.sensitivity, problem.cost_model, budget, problem.dense)
        yield replace(problem, budget=budget, projection=projection, decode=solver.solve)
