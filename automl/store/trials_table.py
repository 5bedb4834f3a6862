"""`trials.csv`: the trials of a study for spreadsheets, brought up to date while a search runs."""

import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from automl.core.knob import Knob
from automl.store.files import write_text
from automl.store.ledger import WORKER
from automl.store.trials import DIGEST, ENGINE, FAILURE, level_of, recall, source_of

_PAUSE_S = 2.0
"""Between two versions of the table: writing all rows takes longer, the more there are."""
_COLUMNS = ("number", "state", "digest", "divergence", "accuracy", "ci95_low", "ci95_high", "images")
_COST_COLUMNS = ("macs", "params", "size_bytes", "bops", "seconds", "source", "engine", "level", "worker", "failure")


class TrialsTable:
    """The finished trials of a study, a row each."""

    def __init__(self, path: Path, study: optuna.Study, knobs: Sequence[Knob]) -> None:
        """For the file at `path`; what each knob can change has a column: channels kept, or bits such as `w4a8`."""
        self._path, self._study = path, study
        self._groups = [knob.target for knob in knobs if knob.kind == "channels"]
        self._layers = [knob.target for knob in knobs if knob.kind == "weight_bits"]
        self._written_s = -_PAUSE_S

    def update(self) -> None:
        """Writes the table, unless it was written a moment ago."""
        if time.monotonic() - self._written_s >= _PAUSE_S:
            self.write()

    def write(self) -> None:
        """Replaces the file as a whole; raises `StorageError` or `RunError` where the disk refuses."""
        finished = (TrialState.COMPLETE, TrialState.FAIL)
        text = io.StringIO()
        writer = csv.DictWriter(text, self._header(), restval="")
        writer.writeheader()
        writer.writerows(map(self._row, self._study.get_trials(deepcopy=False, states=finished)))
        write_text(self._path, text.getvalue())
        self._written_s = time.monotonic()

    def _header(self) -> list[str]:
        return [*_COLUMNS, *_COST_COLUMNS, *map(_column, self._groups), *map(_bits_column, self._layers)]

    def _row(self, trial: FrozenTrial) -> dict[str, Any]:
        facts = trial.user_attrs
        row = {"number": trial.number, "state": trial.state.name.lower(), "worker": facts.get(WORKER, "")}
        row |= {"digest": facts.get(DIGEST, ""), "level": level_of(trial)}
        if trial.state is not TrialState.COMPLETE:
            return row | {"failure": facts.get(FAILURE, "the process was killed")}
        evaluation = recall(trial)
        cost = evaluation.cost
        row |= {
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
            "source": source_of(trial),
            "engine": facts.get(ENGINE, ""),
        }
        policy = evaluation.policy
        row |= {_column(name): policy.channels.get(name, "") for name in self._groups}
        bits = {name: policy.bits[name] for name in self._layers if name in policy.bits}
        return row | {_bits_column(name): f"w{each.weight}a{each.activation}" for name, each in bits.items()}


def _column(group: str) -> str:
    return f"channels:{group}"


def _bits_column(layer: str) -> str:
    return f"bits:{layer}"
