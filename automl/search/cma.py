"""CMA-ES in the solver's space (Hansen 2016; separable form of Ros & Hansen 2008).

The state is not stored: it is rebuilt from the completed trials, so that a killed search goes on where it was and
nothing is unpickled.
"""

from typing import Any

import numpy as np
import optuna
from cmaes import SepCMA  # type: ignore[attr-defined]
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from automl.core.problem import Problem
from automl.search.multipliers import LARGEST, multiplier_names, multiplier_space, tried

_SPREAD = 0.3
"""First standard deviation of the logarithms of the multipliers."""


class CmaSampler(BaseSampler):
    """Draws from a normal distribution that follows the better half of each generation of trials."""

    def __init__(self, problem: Problem, seed: int) -> None:
        """For one problem; two with one seed propose the same after the same trials."""
        self._problem, self._seed = problem, seed

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All multipliers, whatever earlier trials had."""
        return dict(multiplier_space(self._problem))

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A draw from the distribution after all complete generations."""
        names = multiplier_names(self._problem)
        bounds = np.array([[-LARGEST, LARGEST]] * len(names))
        start, seed = np.zeros(len(names)), int(np.random.SeedSequence([self._seed, trial.number]).generate_state(1)[0])
        optimizer = SepCMA(mean=start, sigma=_SPREAD, bounds=bounds, seed=seed)
        trials, size = tried(self._problem, study), optimizer.population_size
        for first in range(0, len(trials) - size + 1, size):
            optimizer.tell(trials[first : first + size])
        return dict(zip(names, np.clip(optimizer.ask(), -LARGEST, LARGEST).tolist(), strict=True))

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never asked: the relative space holds all."""
        return 0.0
