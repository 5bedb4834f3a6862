"""Engines that search keep ratios, and places between the fewest and the most bits, with an Optuna sampler."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from optuna.samplers import BaseSampler
from optuna.trial import BaseTrial

from automl.core.knob import KnobKind, values_of
from automl.core.policy import CompressionPolicy
from automl.core.problem import Problem
from automl.search.engine import Session

LEAST_RATIO = 0.1
"""Ratios are scaled to the budget, so that widths still come out below it.

From 0 up, random ratios starve some group in nearly every proposal; from AMC's 0.2 up, allocations more uneven than
5 to 1 would be out of reach.
"""
UNIFORM_RATIO = 0.5
"""The projection scales equal ratios to the budget whatever they are; the middle is where samplers learn most."""


@dataclass(frozen=True, slots=True)
class SamplerEngine:
    """One ratio per knob; the projection makes a policy of them."""

    name: str
    """Its name on the command line."""
    build: Callable[[Problem, Session], BaseSampler]
    """Problem and session -> sampler."""
    most_trials: int | None = None
    """Trials after which it has nothing new to propose; None where it always has."""
    least_ratio: float = LEAST_RATIO
    """The smallest ratio of channels that it suggests."""
    solved_first: bool = False
    """Whether the solver's plain answer comes right after the uniform policy."""

    def sampler(self, problem: Problem, session: Session) -> BaseSampler:
        """A fresh sampler; two of equal sessions propose the same after the same trials."""
        return self.build(problem, session)

    def first(self, problem: Problem) -> Mapping[str, float] | None:
        """The solver's plain answer, where it is asked for; else nothing better than the uniform policy is known."""
        if not self.solved_first:
            return None
        plain = problem.ratios(problem.solved([0.0] * len(problem.knobs)))
        return dict(zip(parameter_names(problem), plain, strict=True))

    def uniform(self, problem: Problem) -> Mapping[str, float]:
        """Equal keep ratios, and equal bits."""
        return dict(zip(parameter_names(problem), uniform_ratios(problem), strict=True))

    def propose(self, problem: Problem, trial: BaseTrial) -> CompressionPolicy:
        """The feasible policy nearest to the ratios that `trial` suggests."""
        least = [self.least_ratio if knob.kind == "channels" else 0.0 for knob in problem.knobs]
        named = zip(parameter_names(problem), least, strict=True)
        return problem.feasible([trial.suggest_float(name, low, 1.0) for name, low in named])


def parameter_names(problem: Problem) -> list[str]:
    """Names of the ratios, in the order of the problem's knobs."""
    return [f"keep:{knob.name}" for knob in problem.knobs]


def uniform_ratios(problem: Problem) -> list[float]:
    """Equal keep ratios, and equal bits of weights and of inputs: those of which the table expects the least loss."""
    places = [_places(problem, "weight_bits"), _places(problem, "input_bits")]
    candidates = [
        [{"channels": UNIFORM_RATIO, "weight_bits": weight, "input_bits": inputs}[knob.kind] for knob in problem.knobs]
        for weight, inputs in itertools.product(*places)
    ]
    return min(candidates, key=lambda ratios: _expected(problem, problem.feasible(ratios)))


def uniform_policy(problem: Problem) -> CompressionPolicy:
    """The policy that narrows every group by one factor, at one bit-width: the baseline of every search."""
    return problem.feasible(uniform_ratios(problem))


def _places(problem: Problem, kind: KnobKind) -> list[float]:
    """Evenly from the most bits to the fewest, as many as the knobs of this kind have choices."""
    levels = max((len(knob.choices) for knob in problem.knobs if knob.kind == kind), default=1)
    return [float(place) for place in np.linspace(1.0, 0.0, levels)]


def _expected(problem: Problem, policy: CompressionPolicy) -> float:
    """Loss in nats, by the sensitivity table."""
    return problem.sensitivity.loss(values_of(problem.knobs, policy))
