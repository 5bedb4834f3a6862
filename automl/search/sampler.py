"""Engines that search keep ratios with an Optuna sampler."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import optuna
from optuna.samplers import BaseSampler

from automl.core.policy import CompressionPolicy
from automl.core.problem import Problem

LEAST_RATIO = 0.1
"""Ratios are scaled to the budget, so that widths still come out below it.

From 0 up, random ratios starve some group in nearly every proposal; from AMC's 0.2 up, allocations more uneven than
5 to 1 would be out of reach.
"""
UNIFORM_RATIO = 0.5
"""The projection scales equal ratios to the budget whatever they are; the middle is where samplers learn most."""


@dataclass(frozen=True, slots=True)
class SamplerEngine:
    """One keep ratio per channel group; the projection makes a policy of them."""

    name: str
    """Its name on the command line."""
    build: Callable[[int], BaseSampler]
    """Seed -> sampler."""
    most_trials: int | None = None
    """Trials after which it has nothing new to propose; None where it always has."""

    def sampler(self, problem: Problem, seed: int) -> BaseSampler:
        """A fresh sampler; two with one seed propose the same after the same trials."""
        return self.build(seed)

    def first(self, problem: Problem) -> Mapping[str, float] | None:
        """Nothing: it knows no better than the uniform policy."""
        return None

    def uniform(self, problem: Problem) -> Mapping[str, float]:
        """Equal keep ratios."""
        return dict.fromkeys(parameter_names(problem), UNIFORM_RATIO)

    def propose(self, problem: Problem, trial: optuna.Trial) -> CompressionPolicy:
        """The feasible policy nearest to the keep ratios that `trial` suggests."""
        return problem.feasible([trial.suggest_float(name, LEAST_RATIO, 1.0) for name in parameter_names(problem)])


def parameter_names(problem: Problem) -> list[str]:
    """Names of the keep ratios, in the order of the problem's knobs."""
    return [f"keep:{knob.name}" for knob in problem.knobs]


def uniform_policy(problem: Problem) -> CompressionPolicy:
    """The policy that narrows every group by one factor: the baseline of every search."""
    return problem.feasible([UNIFORM_RATIO] * len(problem.knobs))
