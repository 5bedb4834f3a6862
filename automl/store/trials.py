"""Trials as the study keeps them: what is known of each, and what it was found to be worth."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from automl.core.budget_range import LEVELS
from automl.core.cost import Cost
from automl.core.decode import decoded
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
LEVEL = "level"
"""User attribute of a trial: which of several budgets it is held to, from 0 for the tightest, where it has none."""
EVALUATION = "evaluation"
"""User attribute of a completed trial: what the policy was found to be worth."""
FAILURE = "failure"
"""User attribute of a failed trial: the reason."""
_MOST_DIVERGENCE = 1e9
"""Nats; no network differs so much from another, and sums of squares of it are still numbers."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What a policy was found to be worth, as `plain` gives it."""

    cost: Cost
    divergence: float
    accuracy: float
    accuracy_ci95: tuple[float, float]
    images: int
    seconds: float
    source: Source = "new"


@dataclass(frozen=True, slots=True)
class CompletedTrial:
    """A trial that has a result."""

    number: int
    """In the study."""
    engine: str
    """Who proposed it."""
    given: bool
    """Whether it was queued before the search began; the first of these is the uniform policy."""
    evaluation: Evaluation
    level: int = 0
    """Which of several budgets it was held to, from 0 for the tightest."""


def settled(study: optuna.Study) -> frozenset[str]:
    """Digests of the policies that need no trial: they were evaluated, are being evaluated, or cannot be."""
    return frozenset(t.user_attrs[DIGEST] for t in study.get_trials(deepcopy=False) if DIGEST in t.user_attrs)


def policy_of_trial(trial: FrozenTrial) -> CompressionPolicy:
    """What a trial evaluates; raises `RunError` where somebody else wrote the trial."""
    try:
        return CompressionPolicy.from_json(trial.user_attrs[POLICY])
    except (KeyError, ValueError) as error:
        raise changed(trial, error) from error


def level_of(trial: FrozenTrial) -> int:
    """Which of several budgets a trial is held to; 0 for the tightest, and where there is one."""
    level = trial.user_attrs.get(LEVEL, 0)
    if type(level) is not int or not 0 <= level < LEVELS:
        raise changed(trial, ValueError(f"its level is {level!r}"))
    return level


def recall(trial: FrozenTrial) -> Evaluation:
    """Reads what a completed trial was found to be worth; raises `RunError` where somebody else wrote the trial."""
    try:
        worth = worth_of(trial)
    except (KeyError, ValueError) as error:
        raise changed(trial, error) from error
    return Evaluation(
        policy=policy_of_trial(trial),
        cost=worth.cost,
        divergence=worth.divergence,
        accuracy=worth.accuracy,
        accuracy_ci95=worth.accuracy_ci95,
        images=worth.images,
        seconds=worth.seconds,
    )


def worth_of(trial: FrozenTrial) -> Worth:
    """What a trial's evaluation says; raises `KeyError` where it has none, `ValueError` where it is none of ours."""
    worth = decoded(Worth, trial.user_attrs[EVALUATION])
    if not 0.0 <= worth.accuracy <= 1.0 or abs(worth.divergence) > _MOST_DIVERGENCE:
        raise ValueError(f"its accuracy is {worth.accuracy:g} and its divergence {worth.divergence:g}")
    return worth


def source_of(trial: FrozenTrial) -> Source:
    """Whether a completed trial was evaluated, or its like had been."""
    return "cache" if trial.user_attrs[EVALUATION].get("source") == "cache" else "new"


def completed(study: optuna.Study, level: int | None = None) -> list[Evaluation]:
    """The evaluation of every completed trial, or of those of one level, in the order of the trials."""
    found = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [recall(trial) for trial in found if level is None or level_of(trial) == level]


def completed_trials(trials: Iterable[FrozenTrial]) -> list[CompletedTrial]:
    """Those of `trials` that are completed."""
    return [
        CompletedTrial(
            each.number,
            str(each.user_attrs.get(ENGINE, "")),
            bool(each.user_attrs.get(GIVEN)),
            recall(each),
            level_of(each),
        )
        for each in trials
        if each.state is TrialState.COMPLETE
    ]


def failures(trials: Iterable[FrozenTrial]) -> list[str]:
    """The reasons of those of `trials` that failed."""
    failed = (trial for trial in trials if trial.state is TrialState.FAIL)
    return [str(trial.user_attrs.get(FAILURE, "the process was killed")) for trial in failed]


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


def changed(trial: FrozenTrial, error: Exception) -> RunError:
    """The refusal of a trial that we have not written."""
    return RunError(
        f"Every trial must hold its policy, and a completed one its evaluation, but trial {trial.number} does not "
        f"({error!r}). The study was changed by hand, or is of an older version; start a new run with `automl search`."
    )
