"""Trials as the study keeps them: what is known of each, and what it was found to be worth."""

from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from automl.core.cost import Cost
from automl.core.errors import RunError
from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy

Source = Literal["new", "cache"]
POLICY = "policy"
"""User attribute of a trial: its policy, as JSON."""
DIGEST = "digest"
"""User attribute of a trial: its policy's digest."""
ENGINE = "engine"
"""User attribute of a trial: the engine that proposed it."""
GIVEN = "given"
"""User attribute of a trial: whether its parameters were given, not sampled."""
EVALUATION = "evaluation"
"""User attribute of a completed trial: what the policy was found to be worth."""
FAILURE = "failure"
"""User attribute of a failed trial: the reason."""


def settled(study: optuna.Study) -> frozenset[str]:
    """Digests of the policies that need no trial: they were evaluated, are being evaluated, or cannot be."""
    return frozenset(t.user_attrs[DIGEST] for t in study.get_trials(deepcopy=False) if DIGEST in t.user_attrs)


def policy_of_trial(trial: FrozenTrial) -> CompressionPolicy:
    """What a trial evaluates; raises `RunError` where somebody else wrote the trial."""
    try:
        return CompressionPolicy.from_json(trial.user_attrs[POLICY])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _changed(trial, error) from error


def recall(trial: FrozenTrial) -> Evaluation:
    """Reads what a completed trial was found to be worth; raises `RunError` where somebody else wrote the trial."""
    try:
        value = trial.user_attrs[EVALUATION]
        low, high = value["accuracy_ci95"]
        return Evaluation(
            policy=CompressionPolicy.from_json(trial.user_attrs[POLICY]),
            cost=Cost(**value["cost"]),
            divergence=float(value["divergence"]),
            accuracy=float(value["accuracy"]),
            accuracy_ci95=(float(low), float(high)),
            images=int(value["images"]),
            seconds=float(value["seconds"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _changed(trial, error) from error


def source_of(trial: FrozenTrial) -> Source:
    """Whether a completed trial was evaluated, or its like had been."""
    return "cache" if trial.user_attrs[EVALUATION].get("source") == "cache" else "new"


def completed(study: optuna.Study) -> list[Evaluation]:
    """The evaluation of every completed trial, in the order of the trials."""
    return [recall(trial) for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]


def evaluated(study: optuna.Study) -> int:
    """How many completed trials measured a policy; the others found theirs in the cache."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sum(source_of(trial) == "new" for trial in trials)


def plain(evaluation: Evaluation, source: Source) -> dict[str, Any]:
    """What an evaluation says of its policy, in plain JSON types: one numpy float would lose the whole trial."""
    cost = evaluation.cost
    return {
        "cost": {
            "macs": int(cost.macs),
            "params": int(cost.params),
            "size_bytes": int(cost.size_bytes),
            "bops": int(cost.bops),
            "latency_ms": None if cost.latency_ms is None else float(cost.latency_ms),
        },
        "divergence": float(evaluation.divergence),
        "accuracy": float(evaluation.accuracy),
        "accuracy_ci95": [float(bound) for bound in evaluation.accuracy_ci95],
        "images": int(evaluation.images),
        "seconds": float(evaluation.seconds),
        "source": source,
    }


def _changed(trial: FrozenTrial, error: Exception) -> RunError:
    return RunError(
        f"Every trial must hold its policy, and a completed one its evaluation, but trial {trial.number} does not "
        f"({error!r}). The study was changed by hand, or is of an older version; start a new run with `automl search`."
    )
