"""The search loop: ask the engine, evaluate, write it down."""

import logging
import math
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import BaseTrial, FixedTrial, FrozenTrial, TrialState

from automl.core.errors import InterruptedRunError, SearchError
from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from automl.core.problem import Problem
from automl.search.cache import EvaluationCache
from automl.search.curves import Log, silent
from automl.search.engine import Engine, Session, TrialReport
from automl.search.mirror import Mirror
from automl.search.sampler import uniform_policy
from automl.search.tally import Tally
from automl.search.watchdog import time_limit
from automl.store.ledger import LOST, WORKER, Ledger, Proposal
from automl.store.patience import Patience
from automl.store.trials import DIGEST, changed, level_of, policy_of_trial
from automl.store.workers import Crew, workers

MOST_FAILURES = 5
"""Failed trials in a row after which the search gives up."""
TRIAL_LIMIT_S = 1800.0
"""A trial takes seconds; one that takes so long hangs."""
_HESITATION_S = 5.0
"""A trial must have looked lost for so long where others work too; one who takes it needs much less to say so."""
_WAIT_S = 0.2
"""Between two looks at trials that others have not ended yet."""
_ALONE = Crew("alone", leads=True)
_PATIENT = Patience(0.0)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Level:
    """One budget of the search, which is a search of its own but for the order of the trials."""

    number: int
    """From 0 for the tightest."""
    problem: Problem
    mirror: Mirror
    """Of its own trials alone: what others are worth under another budget says nothing here."""
    cache: EvaluationCache


@dataclass(frozen=True, slots=True)
class _Task:
    number: int
    policy: CompressionPolicy
    cache: EvaluationCache
    """Of its level."""


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
    on_failure: Callable[[int, str], None] = lambda number, reason: None,
    folder: Path | None = None,
    log: Log = silent,
    crew: Crew = _ALONE,
    patience: Patience = _PATIENT,
    trial_limit_s: float = TRIAL_LIMIT_S,
    looser: Sequence[Problem] = (),
) -> Evaluation:
    """Evaluates policies until `trials` of them are completed, and returns the one with the lowest divergence.

    With looser budgets, each trial belongs to one of the budgets in turn, and the best one of the tightest is returned.

    Each completed trial is in `study` before the next one starts, so that a later call goes on where this one ended: a
    trial that a killed process began is evaluated first, and what follows is what would have followed. The first trial
    is the uniform policy, whatever the engine. Several processes may work on one study; each counts the trials of all.

    Args:
        problem: What to search.
        study: Holds the trials; those of earlier calls count, and their policies are not evaluated again.
        engine: Proposes the policies.
        trials: Completed trials at which to end, earlier ones included; at least 1.
        seed: Base seed of the search.
        deadline: No trial starts after this time of `time.monotonic()`, once there is a result.
        stop: Polled before each trial; where it says True, the search ends with what it has.
        on_trial: Called for each completed trial, those of other workers included.
        on_failure: Called with number and reason of each trial that failed, those of other workers included.
        folder: Where the engine may keep what it goes on from.
        log: Takes the curves of the search, one point per completed trial, and those of an engine that learns.
        crew: The workers of the study.
        patience: With a database that does not answer.
        trial_limit_s: Seconds after which a trial has failed.
        looser: The same problem under looser and looser budgets.

    Raises:
        SearchError: If `MOST_FAILURES` trials in a row failed.
        InterruptedRunError: If it was stopped before the first trial was completed.
    """
    asked = trials_of(engine, trials, 1 + len(looser))
    ledger = Ledger(study, crew.name, patience)
    session = Session(seed, -(-asked // (1 + len(looser))), folder, log, _number(crew))
    levels = [_level(number, each, engine, session) for number, each in enumerate((problem, *looser))]
    tally = Tally(asked, crew.name, [level.cache for level in levels])
    earlier = _looked(study, ledger, crew, patience)
    for _ in (*tally.news(earlier), *tally.failures(earlier)):
        pass  # of earlier sessions, which have reported them
    failures: list[str] = []
    queued = not crew.leads
    while True:
        found = _looked(study, ledger, crew, patience)
        for level in levels:
            level.mirror.follow(_of(level, found))
        for report in tally.news(found):
            log(_curves(report), report.done)
            on_trial(report)
        for number, reason in tally.failures(found):
            on_failure(number, reason)
        enough = tally.done >= asked and not _left_behind(found, crew)
        if enough or stop() or (tally.best is not None and _passed(deadline)):
            break
        if not queued:
            queued = True
            if _queue_first(levels, engine, ledger, found):
                continue
        task = _next_task(levels, engine, ledger, crew, found, asked)
        if task is None:
            time.sleep(_WAIT_S)
            continue
        failure = _worked(task, ledger, trial_limit_s)
        failures = [] if failure is None else [*failures, failure]
        _check_failures(failures)
    if tally.best is None:
        raise InterruptedRunError("The search was stopped before its first trial ended.")
    return tally.best


def trials_of(engine: Engine, trials: int, levels: int) -> int:
    """Completed trials at which a search ends that was asked for `trials`, under one budget or several in turn."""
    return trials if engine.most_trials is None else min(trials, levels * engine.most_trials)


def _left_behind(trials: Sequence[FrozenTrial], crew: Crew) -> bool:
    """Whether lost workers have left trials that are still to be evaluated, so that none that was begun is dropped."""
    lost = crew.lost(frozenset(t.user_attrs.get(WORKER, "") for t in trials), time.monotonic())
    running = any(t.state is TrialState.RUNNING and t.user_attrs.get(WORKER, "") in lost for t in trials)
    return running or any(t.state is TrialState.WAITING and LOST in t.user_attrs for t in trials)


def lowest_divergence(evaluations: Sequence[Evaluation]) -> Evaluation:
    """The best evaluation; of equal ones the first."""
    return min(evaluations, key=lambda evaluation: evaluation.divergence)


def _looked(study: optuna.Study, ledger: Ledger, crew: Crew, patience: Patience) -> Sequence[FrozenTrial]:
    """All trials, once those that nobody works on any more are back in the queue."""
    now_s = time.monotonic()
    trials = ledger.trials(alone=not crew.others(now_s))
    names = frozenset(t.user_attrs.get(WORKER, "") for t in trials if t.state is TrialState.RUNNING)
    if not crew.knows(names):  # one that came after the last beat
        crew.hear(patience(lambda: workers(study)), now_s)
    after_s = _HESITATION_S if crew.others(now_s) else 0.0
    if names and ledger.reclaim(trials, crew.lost(names, now_s), after_s=after_s):
        return ledger.trials()
    return trials


def _level(number: int, problem: Problem, engine: Engine, session: Session) -> _Level:
    """Each has draws and a folder of its own; the curves of an engine are those at the tightest budget."""
    if number:
        seed = int(np.random.SeedSequence([session.seed, 0, number]).generate_state(1)[0])
        folder = None if session.folder is None else session.folder / f"level-{number}"
        session = replace(session, seed=seed, folder=folder, log=silent)
    cache = EvaluationCache(lambda policy: _finite(problem.evaluate(policy)))
    return _Level(number, problem, Mirror(engine.sampler(problem, session)), cache)


def _of(level: _Level, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in trials if level_of(trial) == level.number]


def _level_of(trial: FrozenTrial, levels: Sequence[_Level]) -> _Level:
    number = level_of(trial)
    if number >= len(levels):
        raise changed(trial, ValueError(f"its level is {number} of {len(levels)}"))
    return levels[number]


def _queue_first(levels: Sequence[_Level], engine: Engine, ledger: Ledger, found: Sequence[FrozenTrial]) -> bool:
    """The uniform policy comes first, then what the engine starts from, unless an earlier session had them."""
    waiting = {level_of(trial) for trial in found if trial.state is TrialState.WAITING}
    missing = [
        (level, uniform)
        for level, uniform in ((each, uniform_policy(each.problem)) for each in levels)
        if level.number not in waiting and uniform not in level.cache
    ]
    for level, uniform in missing:
        _queue_level(level, uniform, engine, ledger)
    return bool(missing)


def _queue_level(level: _Level, uniform: CompressionPolicy, engine: Engine, ledger: Ledger) -> None:
    problem = level.problem
    near = FixedTrial(dict(engine.uniform(problem)))
    engine.propose(problem, near)
    ledger.queue(_proposal(engine, near, uniform, level, given=True))
    first = engine.first(problem)
    if first is not None:
        trial = FixedTrial(dict(first))
        ledger.queue(_proposal(engine, trial, engine.propose(problem, trial), level, given=True))


def _next_task(
    levels: Sequence[_Level], engine: Engine, ledger: Ledger, crew: Crew, found: Sequence[FrozenTrial], asked: int
) -> _Task | None:
    """A trial of the queue, or a new one of the level that has fewest; None where enough are under way."""
    waiting = ledger.claim(found)
    if waiting is not None:
        return _Task(waiting.number, policy_of_trial(waiting), _level_of(waiting, levels).cache)
    counted = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)
    taken = Counter(level_of(trial) for trial in found if trial.state in counted)
    if taken.total() >= asked:
        return None
    level = min(levels, key=lambda each: taken[each.number])
    trial = level.mirror.ask()
    policy = engine.propose(level.problem, trial)
    number = ledger.begin(_proposal(engine, trial, policy, level, given=False))
    level.mirror.is_trial(trial, number)
    if crew.others(time.monotonic()) and _is_underway(policy, number, ledger):
        ledger.withdraw(number)
        return None
    return _Task(number, policy, level.cache)


def _is_underway(policy: CompressionPolicy, number: int, ledger: Ledger) -> bool:
    """Whether another worker evaluates this policy: two that think at one time may come to the same."""
    digest = policy.digest()
    return any(
        trial.state is TrialState.RUNNING and trial.number < number and trial.user_attrs.get(DIGEST) == digest
        for trial in ledger.trials()
    )


def _worked(task: _Task, ledger: Ledger, limit_s: float) -> str | None:
    """Evaluates the policy and writes down what it is worth; returns why not, where that failed."""
    try:
        with time_limit(limit_s):
            evaluation, from_cache = task.cache(task.policy)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        _log.warning("Trial %d failed: %s", task.number, reason)
        _log.debug("Trial %d failed here:", task.number, exc_info=error)
        ledger.fail(task.number, reason)
        return reason
    if not ledger.complete(task.number, evaluation, "cache" if from_cache else "new"):
        _log.warning("Trial %d was taken for lost and completed by another worker meanwhile.", task.number)
    return None


def _proposal(engine: Engine, trial: BaseTrial, policy: CompressionPolicy, level: _Level, *, given: bool) -> Proposal:
    return Proposal(policy, trial.params, trial.distributions, engine.name, given, level.number)


def _number(crew: Crew) -> int:
    return 0 if crew.leads else 1 + zlib.crc32(crew.name.encode())


def _curves(report: TrialReport) -> dict[str, float]:
    where = f"search level {report.level}" if report.level else "search"
    return {
        f"{where}/divergence": report.evaluation.divergence,
        f"{where}/accuracy": report.evaluation.accuracy,
        f"{where}/best divergence": report.best.divergence,
        f"{where}/accuracy of the best": report.best.accuracy,
    }


def _finite(evaluation: Evaluation) -> Evaluation:
    """Refuses what a sampler would take for a result: Optuna calls a trial with an infinite value completed."""
    for name in ("divergence", "accuracy"):
        value = getattr(evaluation, name)
        if not math.isfinite(value):
            raise SearchError(f"The {name} must be a finite number, but is {value}.")
    return evaluation


def _check_failures(failures: Sequence[str]) -> None:
    if len(failures) >= MOST_FAILURES:
        raise SearchError(
            f"A search goes on while trials succeed, but {len(failures)} in a row failed: "
            f"{'; '.join(dict.fromkeys(failures))}. Correct the cause, then go on with `automl resume`."
        )


def _passed(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline
