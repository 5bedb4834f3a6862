import csv
from pathlib import Path

import optuna
import pytest

from automl.core.bits import BitWidths
from automl.core.knob import Knob
from automl.core.policy import CompressionPolicy
from automl.store.trials_table import TrialsTable
from tests.automl.store.test_trials import EVALUATION, POLICY
from tests.contracts.trials import fail, ledger, proposal, tell

KNOBS = (
    Knob("b,conv", "channels", (8, 16)),
    Knob("a.conv", "channels", (4, 8)),
    Knob("a.conv", "weight_bits", (4, 8)),
    Knob("gone", "weight_bits", (4, 8)),
)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_a_row_for_each_finished_trial(tmp_path: Path) -> None:
    study, path = optuna.create_study(), tmp_path / "trials.csv"
    tell(study, EVALUATION)
    fail(study, CompressionPolicy({"a.conv": 4}), "RuntimeError: no, not, this")
    ledger(study).begin(proposal(CompressionPolicy({"a.conv": 2})))
    TrialsTable(path, study, KNOBS).write()
    found = rows(path)
    assert [row["state"] for row in found] == ["complete", "fail"]
    assert found[0]["number"] == "0"
    assert found[0]["digest"] == POLICY.digest()
    assert (found[0]["macs"], found[0]["params"], found[0]["size_bytes"]) == ("1000", "200", "800")
    assert (found[0]["divergence"], found[0]["accuracy"]) == ("0.125", "0.75")
    assert (found[0]["source"], found[0]["engine"], found[0]["worker"]) == ("new", "solver", "worker")
    assert (found[0]["ci95_low"], found[0]["ci95_high"]) == ("0.5", "0.875")
    assert (found[0]["channels:a.conv"], found[0]["channels:b,conv"]) == ("8", "16")
    assert found[1]["failure"] == "RuntimeError: no, not, this"
    assert found[1]["accuracy"] == ""


def test_the_table_says_which_of_several_budgets_a_trial_was_held_to(tmp_path: Path) -> None:
    study, path = optuna.create_study(), tmp_path / "trials.csv"
    tell(study, EVALUATION)
    tell(study, EVALUATION, level=3)
    TrialsTable(path, study, KNOBS).write()
    assert [row["level"] for row in rows(path)] == ["0", "3"]


def test_the_table_has_the_bits_of_each_layer(tmp_path: Path) -> None:
    study, path = optuna.create_study(), tmp_path / "trials.csv"
    tell(study, EVALUATION)
    TrialsTable(path, study, KNOBS).write()
    (row,) = rows(path)
    assert EVALUATION.policy.bits["a.conv"] == BitWidths(8, 32)
    assert row["bits:a.conv"] == "w8a32"
    assert row["bits:gone"] == ""


def test_it_is_not_written_again_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    study, path = optuna.create_study(), tmp_path / "trials.csv"
    table = TrialsTable(path, study, KNOBS)
    table.update()
    tell(study, EVALUATION)
    table.update()
    assert rows(path) == []
    now_s += 2.0
    table.update()
    assert len(rows(path)) == 1
