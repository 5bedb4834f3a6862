"""How far a run is, read without touching it: another process may be searching in it."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from optuna.trial import TrialState

from automl.core.evaluation import Evaluation
from automl.report.metrics import Metrics, read_metrics
from automl.search.registry import find_engine
from automl.store.config import RunConfig, load_config
from automl.store.run import Run
from automl.store.study import open_study
from automl.store.trials import recall

State = Literal["searching", "stopped", "done"]


@dataclass(frozen=True, slots=True)
class BestTrial:
    """The completed trial of lowest divergence."""

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
class Standing:
    """How far one run is."""

    run: Run
    config: RunConfig
    state: State
    """`searching` while a live process works on it, whatever the phase; `stopped` can be resumed."""
    trials: int
    """Completed ones."""
    asked: int
    """Trials in all."""
    best: BestTrial | None
    """None before the first completed trial."""
    metrics: Metrics | None
    """The result; of an earlier session where the run is not done."""

    def to_json(self) -> dict[str, Any]:
        """The layout of `automl status --json`."""
        result = None if self.metrics is None else self.metrics.to_json()
        return {
            "run": self.run.name,
            "path": str(self.run.path),
            "state": self.state,
            "trials": self.trials,
            "asked": self.asked,
            "model": self.config.model,
            "data": self.config.data,
            "engine": self.config.engine,
            "budget": list(self.config.budget),
            "best": None if self.best is None else self.best.to_json(),
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
    asked = config.trials if engine.most_trials is None else min(config.trials, engine.most_trials)
    trials, best = _trials(run)
    metrics = read_metrics(run.metrics) if run.metrics.is_file() else None
    # A search that its time ended is done with fewer trials than asked.
    whole = metrics is not None and metrics.search.trials == trials and (trials >= asked or config.time_s is not None)
    state: State = "searching" if busy else "done" if whole else "stopped"
    return Standing(run, config, state, trials, asked, best, metrics)


def _trials(run: Run) -> tuple[int, BestTrial | None]:
    """Number of completed trials, and the best of them."""
    if not run.study_db.is_file():  # opening would make one
        return 0, None
    with open_study(run.study_db) as study:
        found = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    best = min((BestTrial(each.number, recall(each)) for each in found), key=_divergence, default=None)
    return len(found), best


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
