"""Trials as the study keeps them: evaluations in, evaluations and a table out."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from automl.core.cost import Cost
from automl.core.errors import RunError
from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from automl.store.files import write_text

Source = Literal["new", "cache"]
FAILURE = "failure"
"""User attribute of a failed trial: the reason."""
ENGINE = "engine"
"""User attribute of a completed trial: the engine that proposed it."""
_DIGEST = "digest"
"""User attribute of a trial: its policy's digest."""
_COLUMNS = ("number", "state", "digest", "divergence", "accuracy", "ci95_low", "ci95_high", "images")
_COST_COLUMNS = ("macs", "params", "size_bytes", "bops", "seconds", "source", "engine", "failure")


def remember(trial: optuna.Trial, evaluation: Evaluation, source: Source, engine: str) -> None:
    """Writes `evaluation`, and which engine asked for it, to a running trial; its divergence is the value to tell."""
    trial.set_user_attr("evaluation", _plain(evaluation))
    trial.set_user_attr(_DIGEST, evaluation.policy.digest())
    trial.set_user_attr("source", source)
    trial.set_user_attr(ENGINE, engine)


def remember_failure(trial: optuna.Trial, policy: CompressionPolicy | None, reason: str) -> None:
    """Writes to a running trial why it fails, and with which policy; None where there was none yet."""
    trial.set_user_attr(FAILURE, reason)
    if policy is not None:
        trial.set_user_attr(_DIGEST, policy.digest())


def settled(study: optuna.Study) -> frozenset[str]:
    """Digests of the policies that need no trial: they were evaluated, or cannot be.

    A policy whose trial was killed is not among them.
    """
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
    return frozenset(trial.user_attrs[_DIGEST] for trial in finished if _DIGEST in trial.user_attrs)


def recall(trial: FrozenTrial) -> Evaluation:
    """Reads what `remember` wrote; raises `RunError` where somebody else wrote the trial."""
    try:
        value = trial.user_attrs["evaluation"]
        low, high = value["accuracy_ci95"]
        return Evaluation(
            policy=CompressionPolicy.from_json(value["policy"]),
            cost=Cost(**value["cost"]),
            divergence=float(value["divergence"]),
            accuracy=float(value["accuracy"]),
            accuracy_ci95=(float(low), float(high)),
            images=int(value["images"]),
            seconds=float(value["seconds"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(
            f"Every completed trial must hold its evaluation, but trial {trial.number} does not ({error}). "
            "The study was changed by hand; start a new run with `automl search`."
        ) from error


def completed(study: optuna.Study) -> list[Evaluation]:
    """The evaluation of every completed trial, in the order of the trials."""
    return [recall(trial) for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]


def evaluated(study: optuna.Study) -> int:
    """How many completed trials measured a policy; the others found theirs in the cache."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sum(trial.user_attrs.get("source") == "new" for trial in trials)


def write_trials_csv(path: Path, study: optuna.Study, groups: Sequence[str], layers: Sequence[str] = ()) -> None:
    """Writes every finished trial as a row.

    Args:
        path: The table; replaced as a whole.
        study: Where the trials are.
        groups: Channel groups, one column each: channels kept.
        layers: Layers with bit-widths, one column each: bits of weights and of inputs, such as `w4a8`.

    Raises:
        RunError: If the disk refuses.
    """
    finished = (TrialState.COMPLETE, TrialState.FAIL)
    rows = [_row(trial, groups, layers) for trial in study.get_trials(deepcopy=False, states=finished)]
    text = io.StringIO()
    writer = csv.DictWriter(text, _header(groups, layers), restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _header(groups: Sequence[str], layers: Sequence[str]) -> list[str]:
    return [*_COLUMNS, *_COST_COLUMNS, *map(_column, groups), *map(_bits_column, layers)]


def _row(trial: FrozenTrial, groups: Sequence[str], layers: Sequence[str]) -> dict[str, Any]:
    row = {"number": trial.number, "state": trial.state.name.lower()}
    if trial.state is not TrialState.COMPLETE:
        return row | {"failure": trial.user_attrs.get(FAILURE, "the process was killed")}
    evaluation = recall(trial)
    cost = evaluation.cost
    row |= {
        "digest": trial.user_attrs.get(_DIGEST, ""),
        "divergence": evaluation.divergence,
        "accuracy": evaluation.accuracy,
        "ci95_low": evaluation.accuracy_ci95[0],
        "ci95_high": evaluation.accuracy_ci95[1],
        "images": evaluation.images,
        "macs": cost.macs,
        "params": cost.params,
        "size_bytes": cost.size_bytes,
        "bops": cost.bops,
        "seconds": round(evaluation.seconds, 3),
        "source": trial.user_attrs.get("source", ""),
        "engine": trial.user_attrs.get(ENGINE, ""),
    }
    policy = evaluation.policy
    row |= {_column(name): policy.channels.get(name, "") for name in groups}
    bits = {name: policy.bits[name] for name in layers if name in policy.bits}
    return row | {_bits_column(name): f"w{each.weight}a{each.activation}" for name, each in bits.items()}


def _column(group: str) -> str:
    return f"channels:{group}"


def _bits_column(layer: str) -> str:
    return f"bits:{layer}"


def _plain(evaluation: Evaluation) -> dict[str, Any]:
    # Optuna takes plain JSON types only: one numpy float would lose the whole trial.
    cost = evaluation.cost
    return {
        "policy": evaluation.policy.to_json(),
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
    }
