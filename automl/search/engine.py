"""What a search engine is, and what it reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import optuna
from optuna.samplers import BaseSampler

from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from automl.core.problem import Problem


@dataclass(frozen=True, slots=True)
class TrialReport:
    """One completed trial."""

    number: int
    """Number of the trial in the study, from 0."""
    done: int
    """Completed trials so far, those of earlier sessions included."""
    asked: int
    """Completed trials at which the search ends."""
    evaluation: Evaluation
    best: Evaluation
    """The evaluation with the lowest divergence so far."""
    from_cache: bool
    """Whether an equal policy had been evaluated before."""


class Engine(Protocol):
    """Proposes policies. Each engine's test inherits `tests.contracts.engine.EngineContract`."""

    @property
    def name(self) -> str:
        """Its name on the command line."""
        ...

    @property
    def most_trials(self) -> int | None:
        """Trials after which it has nothing new to propose; None where it always has."""
        ...

    def sampler(self, problem: Problem, seed: int) -> BaseSampler:
        """The Optuna sampler that fills in a trial's parameters."""
        ...

    def first(self, problem: Problem) -> Mapping[str, float] | None:
        """Parameters of the trial after the uniform policy; None where the sampler chooses them."""
        ...

    def uniform(self, problem: Problem) -> Mapping[str, float]:
        """Parameters that stand for the uniform policy, so that model-based samplers learn from it."""
        ...

    def propose(self, problem: Problem, trial: optuna.Trial) -> CompressionPolicy:
        """A policy within the budget, made of parameters that `trial` suggests."""
        ...
