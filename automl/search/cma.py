"""CMA-ES in the solver's space (Hansen 2016; separable form of Ros & Hansen 2008).

The state is not stored: it is rebuilt from the completed trials, so that a killed search goes on where it was and
nothing is unpickled.
"""

import numpy as np
import optuna
from cmaes import SepCMA  # type: ignore[attr-defined]
from numpy.typing import NDArray

from automl.core.problem import LARGEST_LOG, Problem
from automl.search.multipliers import tried

_SPREAD = 0.3
"""First standard deviation of the logarithms of the multipliers."""


def cma_draw(problem: Problem, study: optuna.Study, generator: np.random.Generator) -> NDArray[np.float64]:
    """A draw from the normal distribution that follows the better half of each complete generation of trials."""
    count = len(problem.knobs)
    optimizer = SepCMA(
        mean=np.zeros(count),
        sigma=_SPREAD,
        bounds=np.array([[-LARGEST_LOG, LARGEST_LOG]] * count),
        seed=int(generator.integers(2**31)),
    )
    trials, size = tried(problem, study), optimizer.population_size
    for first in range(0, len(trials) - size + 1, size):
        optimizer.tell(trials[first : first + size])
    return np.asarray(optimizer.ask(), dtype=np.float64)
