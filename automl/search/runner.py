"""The search loop: ask the engine, evaluate, tell the study."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from automl.core.errors import InterruptedRunError, SearchError
from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from automl.core.problem import Problem
from automl.search.cache import EvaluationCache
from automl.search.curves import Log, silent
from automl.search.engine import Engine, Session, TrialReport
from automl.search.sampler import uniform_policy
from automl.store.study import reap
from automl.store.trials import completed, remember, remember_failure

MOST_FAILURES = 5
"""Failed trials in a row after which the search gives up."""
_UNIFORM = "uniform"
"""User attribute of the trial that evaluates the uniform policy, whatever its parameters say."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Outcome:
    number: int
    evaluation: Evaluation | None
    from_cache: bool = False
    failure: str = ""


def search(
    problem: Problem,
    study: optuna.Study,
    engine: Engine,
    *,
    trials: int,
    seed: int,
    deadline: float | None,
    stop: Callable[[], bool],
    on_trial: Callable[[TrialReport], None],
    folder: Path | None = None,
    log: Log = silent,
) -> Evaluation:
    """Evaluates policies until `trials` of them are completed, and returns the one with the lowest divergence.

    Each completed trial is in `study` before the next one starts, so that a later call goes on where this one
    ended; trials that a killed process left running are told failed. The first trial is the uniform policy,
    whatever the engine. The caller holds the run's lock.

    Args:
        problem: What to search.
        study: Holds the trials; those of earlier calls count, and their policies are not evaluated again.
        engine: Proposes the policies.
        trials: Completed trials at which to end, earlier ones included; at least 1.
        seed: Base seed; a call that finds trials in `study` proposes others than the first one did.
        deadline: No trial starts after this time of `time.monotonic()`, once there is a result.
        stop: Polled before each trial; where it says True, the search ends with what it has.
        on_trial: Called after each completed trial.
        folder: Where the engine may keep what it goes on from.
        log: Takes the curves of the search, one point per completed trial, and those of an engine that learns.

    Raises:
        SearchError: If `MOST_FAILURES` trials in a row failed.
        InterruptedRunError: If it was stopped before the first trial was completed.
    """
    reap(study)
    done = completed(study)
    cache = EvaluationCache(lambda policy: _finite(problem.evaluate(policy)), done)
    asked = trials if engine.most_trials is None else min(trials, engine.most_trials)
    before = len(study.get_trials(deepcopy=False))
    study.sampler = engine.sampler(problem, Session(seed, before, asked, folder, log))
    _enqueue_first(problem, study, engine, cache)
    failures = 0
    while len(done) < asked and not stop() and not (done and _passed(deadline)):
        outcome = _run_trial(problem, study, engine, cache)
        if outcome.evaluation is None:
            failures += 1
            _check_failures(failures, outcome.failure)
            continue
        failures = 0
        done.append(outcome.evaluation)
        report = TrialReport(
            outcome.number, len(done), asked, outcome.evaluation, lowest_divergence(done), outcome.from_cache
        )
        log(_curves(report), report.done)
        on_trial(report)
    if not done:
        raise InterruptedRunError("The search was stopped before its first trial ended.")
    return lowest_divergence(done)


def lowest_divergence(evaluations: list[Evaluation]) -> Evaluation:
    """The best evaluation; of equal ones the first."""
    return min(evaluations, key=lambda evaluation: evaluation.divergence)


def _run_trial(problem: Problem, study: optuna.Study, engine: Engine, cache: EvaluationCache) -> _Outcome:
    trial = study.ask()
    policy: CompressionPolicy | None = None
    try:
        proposed = engine.propose(problem, trial)
        policy = uniform_policy(problem) if _UNIFORM in trial.user_attrs else proposed
        evaluation, from_cache = cache(policy)
    except (SQLAlchemyError, StorageInternalError):
        raise  # The study cannot be written: no trial could be told failed either.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        _log.warning("Trial %d failed: %s", trial.number, reason)
        _log.debug("Trial %d failed here:", trial.number, exc_info=error)
        remember_failure(trial, policy, reason)
        study.tell(trial, state=TrialState.FAIL)
        return _Outcome(trial.number, None, failure=reason)
    remember(trial, evaluation, "cache" if from_cache else "new", engine.name)
    study.tell(trial, evaluation.divergence)
    return _Outcome(trial.number, evaluation, from_cache)


def _curves(report: TrialReport) -> dict[str, float]:
    return {
        "search/divergence": report.evaluation.divergence,
        "search/accuracy": report.evaluation.accuracy,
        "search/best divergence": report.best.divergence,
        "search/accuracy of the best": report.best.accuracy,
    }


def _enqueue_first(problem: Problem, study: optuna.Study, engine: Engine, cache: EvaluationCache) -> None:
    """The uniform policy comes first, then what the engine starts from, unless an earlier session had them."""
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    if waiting or uniform_policy(problem) in cache:
        return
    study.enqueue_trial(dict(engine.uniform(problem)), user_attrs={_UNIFORM: True})
    first = engine.first(problem)
    if first is not None:
        study.enqueue_trial(dict(first))


def _finite(evaluation: Evaluation) -> Evaluation:
    """Refuses what a sampler would take for a result: Optuna calls a trial with an infinite value completed."""
    for name in ("divergence", "accuracy"):
        value = getattr(evaluation, name)
        if not math.isfinite(value):
            raise SearchError(f"The {name} must be a finite number, but is {value}.")
    return evaluation


def _check_failures(failures: int, reason: str) -> None:
    if failures >= MOST_FAILURES:
        raise SearchError(
            f"A search goes on while trials succeed, but {failures} in a row failed; the last one with: {reason}. "
            "Correct the cause, then go on with `automl resume`."
        )


def _passed(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline
