"""How far a run is, read without touching it: another process may be searching in it."""

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

from automl.core.budget_range import LEVELS
from automl.core.evaluation import Evaluation
from automl.pipeline.publishing import run_study, study_address
from automl.report.metrics import Metrics, read_metrics
from automl.search.registry import find_engine
from automl.search.runner import trials_of
from automl.store.config import RunConfig, load_config
from automl.store.ledger import WORKER
from automl.store.run import Run
from automl.store.trials import failures, level_of, recall
from automl.store.workers import SILENCE_S, Worker, workers

State = Literal["searching", "stopped", "done"]
WorkerState = Literal["working", "silent", "dead", "gone"]


@dataclass(frozen=True, slots=True)
class BestTrial:
    """The completed trial of lowest divergence; with a range of budgets, of those that were held to the tightest."""

    number: int
    """As `automl export --trial` takes it."""
    evaluation: Evaluation

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        found = self.evaluation
        return {
            "trial": self.number,
            "divergence": found.divergence,
            "accuracy": found.accuracy,
            "accuracy_ci95": list(found.accuracy_ci95),
            "macs": found.cost.macs,
            "params": found.cost.params,
            "size_bytes": found.cost.size_bytes,
        }


@dataclass(frozen=True, slots=True)
class WorkerStanding:
    """One process that has worked on the run's study."""

    worker: Worker
    state: WorkerState
    """`silent` where it has not been heard of for a while, by the clocks of both machines; `dead` is known for sure."""
    trials: int
    """That it completed."""
    running: int | None
    """Number of the trial that it evaluates; None where it has none."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        worker = self.worker
        return {
            "name": worker.name,
            "host": worker.host,
            "pid": worker.pid,
            "leads": worker.leads,
            "state": self.state,
            "heard": worker.heard,
            "trials": self.trials,
            "running": self.running,
        }


@dataclass(frozen=True, slots=True)
class StudyStanding:
    """What the trials of one run come to."""

    completed: int
    running: int
    waiting: int
    """Begun by workers that were lost, or not begun yet."""
    failures: tuple[str, ...]
    """The reasons of the failed trials, in the order of their numbers."""
    best: BestTrial | None
    """None before the first completed trial."""
    workers: tuple[WorkerStanding, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one run is."""

    run: Run
    config: RunConfig
    state: State
    """`searching` while a live process works on it, whatever the phase; `stopped` can be resumed."""
    study: StudyStanding
    asked: int
    """Trials in all."""
    metrics: Metrics | None
    """The result; of an earlier session where the run is not done."""

    def to_json(self) -> dict[str, Any]:
        """The layout of `automl status --json`."""
        result = None if self.metrics is None else self.metrics.to_json()
        return {
            "run": self.run.name,
            "path": str(self.run.path),
            "state": self.state,
            "trials": self.study.completed,
            "running": self.study.running,
            "waiting": self.study.waiting,
            "failed": len(self.study.failures),
            "failures": list(dict.fromkeys(self.study.failures)),
            "asked": self.asked,
            "workers": [worker.to_json() for worker in self.study.workers],
            "model": self.config.model,
            "data": self.config.data,
            "engine": self.config.engine,
            "budget": list(self.config.asked),
            "best": None if self.study.best is None else self.study.best.to_json(),
            "result": None if result is None else result["quantized"] or result["finetuned"] or result["best"],
        }


def standing(run: Run) -> Standing:
    """Reads how far `run` is.

    Raises:
        InputError: If its configuration, study or metrics cannot be read.
    """
    busy = _busy(run.path / "run.lock")
    config = load_config(run.config)
    engine = find_engine(config.engine, config.agent)
    asked = trials_of(engine, config.trials, 1 if config.pareto is None else LEVELS)
    study = _study(run, config)
    metrics = read_metrics(run.metrics) if run.metrics.is_file() else None
    # A search that its time ended is done with fewer trials than asked.
    whole = (
        metrics is not None
        and metrics.search.trials == study.completed
        and (study.completed >= asked or config.time_s is not None)
    )
    state: State = "searching" if busy else "done" if whole else "stopped"
    return Standing(run, config, state, study, asked, metrics)


def _study(run: Run, config: RunConfig) -> StudyStanding:
    address = study_address(run, config)
    if address.path is not None and not address.path.is_file():  # opening would make one
        return StudyStanding(0, 0, 0, (), None, ())
    with run_study(run, config) as study:
        trials, crew = study.get_trials(deepcopy=False), workers(study)
    found = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    return StudyStanding(
        completed=len(found),
        running=sum(trial.state is TrialState.RUNNING for trial in trials),
        waiting=sum(trial.state is TrialState.WAITING for trial in trials),
        failures=tuple(failures(trials)),
        best=min(
            (BestTrial(each.number, recall(each)) for each in found if level_of(each) == 0),
            key=_divergence,
            default=None,
        ),
        workers=tuple(_worker(worker, trials) for worker in crew),
    )


def _worker(worker: Worker, trials: Sequence[FrozenTrial]) -> WorkerStanding:
    own = [trial for trial in trials if trial.user_attrs.get(WORKER) == worker.name]
    running = next((trial.number for trial in own if trial.state is TrialState.RUNNING), None)
    done = sum(trial.state is TrialState.COMPLETE for trial in own)
    return WorkerStanding(worker, _worker_state(worker), done, running)


def _worker_state(worker: Worker) -> WorkerState:
    if worker.state == "gone":
        return "gone"
    if worker.is_dead():
        return "dead"
    silent_s = (datetime.now(UTC) - datetime.fromisoformat(worker.heard)).total_seconds()
    return "silent" if silent_s > SILENCE_S else "working"


def _divergence(trial: BestTrial) -> float:
    return trial.evaluation.divergence


def _busy(lock: Path) -> bool:
    """Whether a live process holds the run; the kernel forgets the lock of one that was killed."""
    try:
        handle = os.open(lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
