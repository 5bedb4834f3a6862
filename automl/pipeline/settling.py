"""Candidates that keep a latency budget as timed, not only as predicted, and that use it.

A search looks for policies that are predicted too fast. So before anything is trained, the best few are exported and
timed; the limit is moved by what the predictions miss there, and the policies are brought to it.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl.core.budget import Metric
from automl.core.errors import BudgetError, NoFeasiblePolicyError
from automl.core.knob import policy_of, values_of
from automl.core.policy import CompressionPolicy, checked_policy
from automl.core.projection import Projection
from automl.pipeline.clocking import policies_ms
from automl.pipeline.conversation import Conversation
from automl.pipeline.subject import Subject
from automl.store.files import read_json, write_json
from automl.store.run import Run

_ROUNDS = 3
_AIM = 0.97
"""Share of the budget that a policy is brought to."""
_ENOUGH, _MOST = 0.95, 0.99
"""Shares of the budget between which a policy stays as it is; the file is timed once more in the end."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settled:
    """One candidate."""

    origin: CompressionPolicy
    """As the search found it."""
    policy: CompressionPolicy
    """The nearest one that keeps the budget as timed."""
    ms: float
    """How long its network takes."""


def settle(
    run: Run, subject: Subject, candidates: Sequence[CompressionPolicy], conversation: Conversation
) -> list[Settled]:
    """Candidates that keep the latency budget on this machine; where an earlier session settled them, as it did.

    Args:
        run: Keeps what was timed.
        subject: Has a latency budget of this machine.
        candidates: The best few policies of the search.
        conversation: Shows what was timed.

    Raises:
        NoFeasiblePolicyError: If even the smallest networks that the predictions lead to are too slow.
    """
    path = _path(run)
    origins = {policy.digest(): policy for policy in candidates}
    known = _read(path, origins)
    if known is not None:
        for each in known:
            checked_policy(subject.traced.graph, each.policy)
        return known
    conversation.progress.phase("Timing", _ROUNDS)
    found = _settled(subject, candidates, conversation)
    write_json(path, [_to_json(each) for each in found])
    return found


def timed_candidates(run: Run) -> list[tuple[CompressionPolicy, float]]:
    """The candidates as `settle` left them, each with its milliseconds; none where no latency is limited."""
    try:
        rows = read_json(_path(run))
        return [(CompressionPolicy.from_json(row["policy"]), float(row["ms"])) for row in rows]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return []


def _settled(subject: Subject, candidates: Sequence[CompressionPolicy], conversation: Conversation) -> list[Settled]:
    asked = _asked_ms(subject)
    moving = [(policy, policy) for policy in candidates]
    kept: dict[str, Settled] = {}
    for _ in range(_ROUNDS):
        timed = [
            Settled(*pair, ms) for pair, ms in zip(moving, policies_ms(subject, [x for _, x in moving]), strict=True)
        ]
        conversation.progress.advance(", ".join(Metric.LATENCY.text(each.ms) for each in timed))
        for each in timed:
            predicted = subject.cost_model(each.policy).latency_ms
            _LOG.info("Timed %s: %.4f ms, predicted %.4f", each.policy.digest()[:12], each.ms, predicted)
            before = kept.get(each.origin.digest())
            if each.ms <= _MOST * asked and (before is None or each.ms > before.ms):
                kept[each.origin.digest()] = each
        missed = [
            (each.origin, moved(subject, each.policy, each.ms))
            for each in timed
            if not _ENOUGH <= each.ms / asked <= _MOST
        ]
        moving = [(origin, policy) for origin, policy in missed if policy is not None]
        if not moving:
            break
    if not kept:
        raise NoFeasiblePolicyError(
            f"A policy must keep {Metric.LATENCY.text(asked)} when it is timed, but none of {len(candidates)} did in "
            f"{_ROUNDS} attempts. Ask for more time, or time the device again when it is quiet."
        )
    return list(kept.values())


def moved(subject: Subject, policy: CompressionPolicy, ms: float) -> CompressionPolicy | None:
    """The policy nearest to one that was timed of which the same miss of the prediction makes 97% of the limit.

    Args:
        subject: Has a latency budget.
        policy: What was timed.
        ms: How long its network takes.

    Returns:
        None where there is no other.
    """
    predicted = subject.cost_model(policy).latency_ms
    assert predicted is not None
    margin = 1.0 - _AIM * predicted / ms
    knobs = subject.space.knobs
    budget = subject.budget.with_margin(Metric.LATENCY, margin)
    try:
        projection = Projection(knobs, subject.cost_model, budget, subject.dense_cost)
    except BudgetError:
        return None  # even the smallest network is predicted to be too slow
    values = values_of(knobs, policy)
    wanted = [values.get(knob.name, knob.choices[-1]) for knob in knobs]
    nearest = policy_of(knobs, projection(np.array(wanted, dtype=np.float64)).tolist())
    return None if nearest.digest() == policy.digest() else nearest


def _path(run: Run) -> Path:
    return run.state / "settled.json"


def _asked_ms(subject: Subject) -> float:
    return min(limit.asked(subject.dense_cost) for limit in subject.budget.limits_of(Metric.LATENCY))


def _to_json(settled: Settled) -> dict[str, Any]:
    return {"origin": settled.origin.digest(), "policy": settled.policy.to_json(), "ms": settled.ms}


def _read(path: Path, origins: dict[str, CompressionPolicy]) -> list[Settled] | None:
    """What was settled of just these candidates; None where nothing was."""
    try:
        rows = read_json(path)
        found = [
            Settled(origins[row["origin"]], CompressionPolicy.from_json(row["policy"]), float(row["ms"]))
            for row in rows
        ]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return found or None
