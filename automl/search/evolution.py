"""Evolution in the solver's space: the best multipliers so far, a few of them changed (SPDY's local search)."""

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from automl.core.problem import Problem
from automl.search.multipliers import LARGEST, multiplier_names, multiplier_space, tried

_CHANGED = 0.15
"""Share of the multipliers that one child changes; at least one."""
_SPREAD = 0.8
"""Standard deviation of a change."""
_PARENTS = 3
"""A child's parent is one of so many best."""


class EvolutionSampler(BaseSampler):
    """Changes a few multipliers of one of the best trials."""

    def __init__(self, problem: Problem, seed: int) -> None:
        """For one problem; two with one seed propose the same after the same trials."""
        self._problem, self._seed = problem, seed

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All multipliers, whatever earlier trials had."""
        return dict(multiplier_space(self._problem))

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A child of one of the best trials."""
        names = multiplier_names(self._problem)
        generator = np.random.default_rng([self._seed, trial.number])
        ranked = sorted(tried(self._problem, study), key=lambda each: each[1])[:_PARENTS]
        parent = ranked[generator.integers(len(ranked))][0] if ranked else np.zeros(len(names))
        changed = generator.random(len(names)) < _CHANGED
        changed[generator.integers(len(names))] = True
        child = parent + changed * generator.normal(0.0, _SPREAD, len(names))
        return dict(zip(names, np.clip(child, -LARGEST, LARGEST).tolist(), strict=True))

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never asked: the relative space holds all."""
        return 0.0
