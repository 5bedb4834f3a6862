"""Optuna's samplers, seeded anew for each trial: what they propose follows from the trials before it alone."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState


class ReseedingSampler(BaseSampler):
    """A fresh sampler for each trial, so that a search that was killed goes on as if it had not been."""

    def __init__(self, build: Callable[[int], BaseSampler], seed: int) -> None:
        """With what makes a sampler of a seed, and the seed of all."""
        self._build, self._seed = build, seed
        self._sampler = build(seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """That of a fresh sampler; Optuna asks for it first."""
        self._sampler = self._build(int(np.random.SeedSequence([self._seed, trial.number]).generate_state(1)[0]))
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the fresh one says."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As the fresh one says."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Nothing: the next trial has another sampler."""
