"""Predictions of latency corrected where the search will look: the solver's first answers are timed before it begins.

Random policies taught the fit; what a search proposes is not random: it looks for what is predicted to be fast.
"""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from automl.core.budget import Metric
from automl.core.errors import BudgetError
from automl.core.policy import CompressionPolicy
from automl.core.problem import Problem
from automl.core.projection import Projection
from automl.pipeline.clocking import policies_ms
from automl.pipeline.conversation import Conversation
from automl.pipeline.subject import Subject
from automl.report.quantity import percent
from automl.search.sampler import uniform_policy
from automl.store.files import read_json, write_json
from automl.store.run import Run

_ANSWERS = 5
"""Answers of the solver that are timed, the plain one among them, beside the uniform policy."""
_SPREAD = 0.3
"""Standard deviation of the multipliers, as engines begin with."""
_MOST_RATIO = 1e3
"""Timed over predicted, or the other way round: beyond that the file is not what we wrote."""
_LOG = logging.getLogger(__name__)


def boosted(run: Run, subject: Subject, problem: Problem, conversation: Conversation) -> Subject:
    """The same subject, whose latency limits make up for what predictions miss.

    Args:
        run: Remembers it, so that a resumed search has the same limits.
        subject: Where it has no latency budget of this machine, it is returned as it is.
        problem: Of the subject.
        conversation: Shows what was timed.
    """
    if subject.latency is None or not (subject.clocked and subject.budget.limits_of(Metric.LATENCY)):
        return subject
    path = run.state / "boost.json"
    ratio = _read(path)
    if ratio is None:
        ratio = _measured(path, subject, problem, conversation)
    budget = subject.budget.with_margin(Metric.LATENCY, 1.0 - (1.0 - subject.latency.margin) / ratio)
    try:
        projection = Projection(subject.space.knobs, subject.cost_model, budget, subject.dense_cost)
    except BudgetError:
        return subject  # as timed nothing is fast enough: the candidates will show it
    return replace(subject, budget=budget, projection=projection)


def _measured(path: Path, subject: Subject, problem: Problem, conversation: Conversation) -> float:
    """Timed over predicted, the median of several policies within the budget."""
    policies = _policies(problem)
    conversation.progress.phase("Timing", 1)
    predicted = np.array([subject.cost_model(policy).latency_ms for policy in policies], dtype=np.float64)
    ratios = np.array(policies_ms(subject, policies)) / predicted
    ratio = float(np.median(ratios))
    conversation.progress.advance(
        f"{len(policies)} policies within the budget take {percent(ratio)} of what is predicted "
        f"({percent(float(ratios.min()))} to {percent(float(ratios.max()))})"
    )
    _LOG.info("Timed over predicted: %s", ", ".join(f"{each:.3f}" for each in ratios))
    write_json(path, {"timed_over_predicted": ratio, "of_each": ratios.tolist()})
    return ratio


def _policies(problem: Problem) -> list[CompressionPolicy]:
    """What engines begin with, each once."""
    generator = np.random.default_rng(0)
    drawn = generator.normal(0.0, _SPREAD, (_ANSWERS, len(problem.knobs)))
    drawn[0] = 0.0
    found = [uniform_policy(problem), *(problem.solved(multipliers.tolist()) for multipliers in drawn)]
    return list({policy.digest(): policy for policy in found}.values())


def _read(path: Path) -> float | None:
    try:
        ratio = float(read_json(path)["timed_over_predicted"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return ratio if 1 / _MOST_RATIO < ratio < _MOST_RATIO else None
