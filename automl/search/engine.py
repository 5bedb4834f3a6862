"""What a search engine is, and what it reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from optuna.samplers import BaseSampler
from optuna.trial import BaseTrial

from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from automl.core.problem import Problem
from automl.search.curves import Log, silent


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
    """The evaluation with the lowest divergence so far, of those that were held to the same budget."""
    from_cache: bool
    """Whether an equal policy had been evaluated before."""
    ours: bool
    """Whether this process evaluated it; else another worker did."""
    level: int = 0
    """Which of several budgets it was held to, from 0 for the tightest."""


@dataclass(frozen=True, slots=True)
class Session:
    """One worker's run of the search loop, as an engine sees it."""

    seed: int
    """Base seed of the run, the same in every session."""
    asked: int
    """Completed trials at which the search ends."""
    folder: Path | None = None
    """Where an engine may keep what it goes on from; None for a search in memory."""
    log: Log = silent
    """Takes what an engine has to say of itself."""
    worker: int = 0
    """0 for the worker that began the search, another number for each of the others."""

    @property
    def own_seed(self) -> int:
        """Unlike that of other workers: equal samplers propose the same after the same trials."""
        return int(np.random.SeedSequence([self.seed, self.worker]).generate_state(1)[0])


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

    def sampler(self, problem: Problem, session: Session) -> BaseSampler:
        """The Optuna sampler that fills in a trial's parameters."""
        ...

    def first(self, problem: Problem) -> Mapping[str, float] | None:
        """Parameters of the trial after the uniform policy; None where the sampler chooses them."""
        ...

    def uniform(self, problem: Problem) -> Mapping[str, float]:
        """Parameters that stand for the uniform policy, so that model-based samplers learn from it."""
        ...

    def propose(self, problem: Problem, trial: BaseTrial) -> CompressionPolicy:
        """A policy within the budget, made of parameters that `trial` suggests."""
        ...
