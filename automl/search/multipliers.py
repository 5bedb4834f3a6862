"""Engines that search the multipliers of the sensitivity table (SPDY, Frantar & Alistarh 2022).

The exact solver turns each proposal into a policy on budget, so that the sampler only learns where the table is wrong:
all zeros are the solver's plain answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.trial import BaseTrial, FrozenTrial

from automl.core.exchange import exchange
from automl.core.policy import CompressionPolicy
from automl.core.problem import LARGEST_LOG, Problem
from automl.search.engine import Session
from automl.search.sampler import uniform_policy


@dataclass(frozen=True, slots=True)
class MultiplierEngine:
    """One multiplier per channel group; the solver makes a policy of them."""

    name: str
    """Its name on the command line."""
    build: Callable[[Problem, Session], BaseSampler]
    """Problem and session -> sampler."""
    most_trials: int | None = None
    """Trials after which it has nothing new to propose; None where it always has."""
    solved_first: bool = True
    """Whether the solver's plain answer comes right after the uniform policy."""

    def sampler(self, problem: Problem, session: Session) -> BaseSampler:
        """A fresh sampler; two of equal sessions propose the same after the same trials."""
        return self.build(problem, session)

    def first(self, problem: Problem) -> Mapping[str, float] | None:
        """The solver's plain answer comes before all that is sampled, unless that is switched off."""
        return dict.fromkeys(multiplier_names(problem), 0.0) if self.solved_first else None

    def uniform(self, problem: Problem) -> Mapping[str, float]:
        """The multipliers at which the solver would find the uniform policy about right."""
        return dict(zip(multiplier_names(problem), matching(problem, uniform_policy(problem)).tolist(), strict=True))

    def propose(self, problem: Problem, trial: BaseTrial) -> CompressionPolicy:
        """The solver's answer for the multipliers that `trial` suggests."""
        return problem.solved(
            [trial.suggest_float(name, -LARGEST_LOG, LARGEST_LOG) for name in multiplier_names(problem)]
        )


def multiplier_names(problem: Problem) -> list[str]:
    """Names of the logarithms, in the order of the problem's knobs."""
    return [f"z:{knob.name}" for knob in problem.knobs]


Proposal = Callable[[Problem, optuna.Study, np.random.Generator], NDArray[np.float64]]
"""The next log-multipliers, of shape `(knobs,)`, from the trials so far; drawn with the generator alone."""


class ProposalSampler(BaseSampler):
    """Samples all multipliers at once by a function of the trials so far; without state, so that a kill loses none."""

    def __init__(self, problem: Problem, seed: int, proposal: Proposal) -> None:
        """For one problem; two with one seed propose the same after the same trials."""
        self._problem, self._seed, self._proposal = problem, seed, proposal

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All multipliers, whatever earlier trials had."""
        return {name: FloatDistribution(-LARGEST_LOG, LARGEST_LOG) for name in multiplier_names(self._problem)}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The proposal, within `LARGEST_LOG`."""
        generator = np.random.default_rng([self._seed, trial.number])
        proposed = np.clip(self._proposal(self._problem, study, generator), -LARGEST_LOG, LARGEST_LOG)
        return dict(zip(multiplier_names(self._problem), proposed.tolist(), strict=True))

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never asked: the relative space holds all."""
        return 0.0


def tried(problem: Problem, study: optuna.Study) -> list[tuple[NDArray[np.float64], float]]:
    """Log-multipliers and divergence of each completed trial that had some, in order."""
    names = multiplier_names(problem)
    trials = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    return [
        (np.array([trial.params[name] for name in names]), float(trial.value))
        for trial in trials
        if trial.value is not None and all(name in trial.params for name in names)
    ]


def matching(problem: Problem, policy: CompressionPolicy) -> NDArray[np.float64]:
    """Log-multipliers under which no group of `policy` is worth changing: loss and cost per channel balance everywhere.

    Args:
        problem: Its table and costs.
        policy: Any policy of its search space.

    Returns:
        Shape `(knobs,)`, centred and clipped to `LARGEST_LOG`; 0 where a group has one width.
    """
    steps = exchange(problem.sensitivity, problem.projection, problem.values(policy))
    balance = np.zeros(len(problem.knobs))
    balance[steps.known] = np.log(steps.price[steps.known] / steps.gain[steps.known])
    balance[steps.known] -= balance[steps.known].mean() if steps.known.any() else 0.0
    return np.clip(balance, -LARGEST_LOG, LARGEST_LOG)
