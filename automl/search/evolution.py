"""Evolution in the solver's space: the best multipliers so far, a few of them changed (SPDY's local search)."""

import numpy as np
import optuna
from numpy.typing import NDArray

from automl.core.problem import Problem
from automl.search.multipliers import tried

_CHANGED = 0.15
"""Share of the multipliers that one child changes; at least one."""
_SPREAD = 0.8
"""Standard deviation of a change."""
_PARENTS = 3
"""A child's parent is one of so many best."""


def evolved(problem: Problem, study: optuna.Study, generator: np.random.Generator) -> NDArray[np.float64]:
    """A child of one of the best trials: a few of its log-multipliers changed."""
    count = len(problem.knobs)
    ranked = sorted(tried(problem, study), key=lambda each: each[1])[:_PARENTS]
    parent = ranked[generator.integers(len(ranked))][0] if ranked else np.zeros(count)
    changed = generator.random(count) < _CHANGED
    changed[generator.integers(count)] = True
    return np.asarray(parent + changed * generator.normal(0.0, _SPREAD, count), dtype=np.float64)
