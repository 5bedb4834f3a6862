"""The solver's own search: each evaluated policy says how wrong the sensitivity table is, and the next answer heeds it.

The divergence of a policy is modelled as the table's prediction with one multiplier per group, times one factor for all
that adds up worse than the sum. The multipliers are fitted to what was measured, most of all to what was measured near
the best (a re-linearisation at the incumbent that every feasible evaluation takes part in), and the next ones are drawn
from their posterior (Thompson 1933).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from numpy.typing import NDArray
from scipy.optimize import least_squares

from automl.core.evaluation import Evaluation
from automl.core.problem import LARGEST_LOG, Problem
from automl.store.trials import completed, settled

_PRIOR = 0.7
"""Standard deviation of a logarithm of a multiplier before anything is measured."""
_NOISE = 0.03
"""Relative standard deviation of a measured divergence about the model, at the best policy."""
_LOCALITY = 0.25
"""A policy whose divergence is e^0.25 times the best one's counts with twice its standard deviation."""
_ATTEMPTS = 16
"""Draws until one gives a policy that was not evaluated yet."""
_WIDENING = 1.2
"""Factor on the spread of each further draw."""
_LEAST_LOSS = 1e-12

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Posterior:
    """Log-multipliers, normally distributed."""

    mean: Vector
    root: NDArray[np.float64]
    """`root @ root.T` is the covariance; the last column belongs to the common factor."""

    def draw(self, generator: np.random.Generator, spread: float) -> Vector:
        noise = self.root @ generator.standard_normal(self.root.shape[1])
        return np.clip(self.mean + spread * noise, -LARGEST_LOG, LARGEST_LOG)


def refitted(problem: Problem, study: optuna.Study, generator: np.random.Generator) -> Vector:
    """The log-multipliers that fit the completed trials, whoever proposed them; a draw where those are known."""
    evaluations = completed(study)
    if not evaluations:
        return np.zeros(len(problem.knobs))
    known = settled(study)
    posterior = _fitted(problem, evaluations)
    proposal = posterior.mean
    for attempt in range(_ATTEMPTS):
        if problem.solved(proposal.tolist()).digest() not in known:
            break
        # Wider each time: late in a search the posterior is so narrow that all draws lead to known policies.
        proposal = posterior.draw(generator, _WIDENING**attempt)
    return proposal


def _fitted(problem: Problem, evaluations: Sequence[Evaluation]) -> _Posterior:
    """The posterior's mode and, by its curvature there, its spread (Laplace)."""
    losses = np.array([problem.sensitivity.parts(problem.values(each.policy).tolist()) for each in evaluations])
    measured = np.log(np.maximum([evaluation.divergence for evaluation in evaluations], _LEAST_LOSS))
    noise = _NOISE * np.exp((measured - measured.min()) / _LOCALITY * np.log(2.0))
    groups = losses.shape[1]

    def residuals(point: Vector) -> Vector:
        predicted = np.log(losses @ np.exp(point[:groups]) + _LEAST_LOSS) + point[groups]
        return np.concatenate([(predicted - measured) / noise, point[:groups] / _PRIOR])

    def jacobian(point: Vector) -> NDArray[np.float64]:
        parts = losses * np.exp(point[:groups])
        shares = parts / (parts.sum(axis=1, keepdims=True) + _LEAST_LOSS)
        fit = np.concatenate([shares, np.ones((len(losses), 1))], axis=1) / noise[:, None]
        prior = np.concatenate([np.eye(groups) / _PRIOR, np.zeros((groups, 1))], axis=1)
        return np.concatenate([fit, prior])

    start = np.zeros(groups + 1)
    start[groups] = measured.min() - np.log(losses[measured.argmin()].sum() + _LEAST_LOSS)
    bound = np.append(np.full(groups, LARGEST_LOG), np.inf)
    found = least_squares(residuals, start, jac=jacobian, bounds=(-bound, bound), method="trf")
    slopes = jacobian(found.x)
    root = np.linalg.inv(np.linalg.cholesky(slopes.T @ slopes)).T
    return _Posterior(found.x[:groups], root[:groups, :])
