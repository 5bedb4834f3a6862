import csv
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from automl.core.bits import BitWidths
from automl.core.cost import Cost
from automl.core.errors import RunError
from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from automl.store.study import open_study
from automl.store.trials import (
    FAILURE,
    completed,
    evaluated,
    remember,
    remember_failure,
    settled,
    write_trials_csv,
)

POLICY = CompressionPolicy({"a.conv": 8, "b,conv": 16}, {"a.conv": BitWidths(8, 32)})
EVALUATION = Evaluation(
    policy=POLICY,
    cost=Cost(macs=1000, params=200, size_bytes=800, bops=1_024_000),
    divergence=0.125,
    accuracy=0.75,
    accuracy_ci95=(0.5, 0.875),
    images=64,
    seconds=1.5,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study.db"


def tell(study: optuna.Study, evaluation: Evaluation = EVALUATION) -> None:
    trial = study.ask()
    remember(trial, evaluation, "new", "solver")
    study.tell(trial, evaluation.divergence)


def test_an_evaluation_survives_the_way_through_the_database(path: Path) -> None:
    with open_study(path) as study:
        tell(study)
    with open_study(path) as study:
        assert completed(study) == [EVALUATION]


def test_numpy_numbers_do_not_lose_a_trial(path: Path) -> None:
    odd = Evaluation(
        policy=CompressionPolicy({"a": np.int64(8)}),  # type: ignore[dict-item]
        cost=Cost(np.int64(5), np.int64(6), np.int64(7), np.int64(8), np.float32(0.5)),  # type: ignore[arg-type]
        divergence=np.float32(0.5),  # type: ignore[arg-type]
        accuracy=np.float32(0.25),  # type: ignore[arg-type]
        accuracy_ci95=(np.float64(0.0), np.float64(1.0)),
        images=np.int64(3),  # type: ignore[arg-type]
        seconds=np.float64(2.0),
    )
    expected = Evaluation(
        CompressionPolicy({"a": 8}), Cost(5, 6, 7, 8, 0.5), 0.5, 0.25, (0.0, 1.0), images=3, seconds=2.0
    )
    with open_study(path) as study:
        tell(study, odd)
        assert completed(study) == [expected]


def test_only_completed_trials_are_evaluations(path: Path) -> None:
    with open_study(path) as study:
        tell(study)
        study.tell(study.ask(), state=TrialState.FAIL)
        study.ask()
        assert len(completed(study)) == 1


def test_policies_that_were_evaluated_or_cannot_be_need_no_trial() -> None:
    study = optuna.create_study()
    tell(study)
    other = CompressionPolicy({"a.conv": 4})
    trial = study.ask()
    remember_failure(trial, other, "RuntimeError: out of memory")
    study.tell(trial, state=TrialState.FAIL)
    study.tell(study.ask(), state=TrialState.FAIL)  # killed
    study.ask()  # runs
    assert settled(study) == {POLICY.digest(), other.digest()}


def test_trials_from_the_cache_were_not_evaluated() -> None:
    study = optuna.create_study()
    tell(study)
    trial = study.ask()
    remember(trial, EVALUATION, "cache", "solver")
    study.tell(trial, EVALUATION.divergence)
    assert len(completed(study)) == 2
    assert evaluated(study) == 1


@pytest.mark.parametrize("value", [None, [], {}, {"policy": 3}, {"accuracy_ci95": [1]}])
def test_a_trial_changed_by_hand_is_refused(value: object) -> None:
    study = optuna.create_study()
    trial = study.ask()
    trial.set_user_attr("evaluation", value)
    study.tell(trial, 0.5)
    with pytest.raises(RunError, match="trial 0 does not"):
        completed(study)


def test_the_table_has_a_row_for_each_finished_trial(path: Path) -> None:
    table = path.parent / "trials.csv"
    with open_study(path) as study:
        tell(study)
        failed = study.ask()
        failed.set_user_attr(FAILURE, "RuntimeError: no, not, this")
        study.tell(failed, state=TrialState.FAIL)
        study.tell(study.ask(), state=TrialState.FAIL)
        study.ask()
        write_trials_csv(table, study, ["b,conv", "a.conv"])
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["complete", "fail", "fail"]
    assert rows[0]["number"] == "0"
    assert rows[0]["digest"] == POLICY.digest()
    assert (rows[0]["macs"], rows[0]["params"], rows[0]["size_bytes"]) == ("1000", "200", "800")
    assert (rows[0]["divergence"], rows[0]["accuracy"]) == ("0.125", "0.75")
    assert (rows[0]["source"], rows[0]["engine"]) == ("new", "solver")
    assert (rows[0]["ci95_low"], rows[0]["ci95_high"]) == ("0.5", "0.875")
    assert (rows[0]["channels:a.conv"], rows[0]["channels:b,conv"]) == ("8", "16")
    assert rows[1]["failure"] == "RuntimeError: no, not, this"
    assert rows[2]["failure"] == "the process was killed"
    assert rows[1]["accuracy"] == ""


def test_the_table_of_trials_has_the_bits_of_each_layer(path: Path, tmp_path: Path) -> None:
    with open_study(path) as study:
        tell(study)
        write_trials_csv(tmp_path / "trials.csv", study, ["a.conv"], ["a.conv", "gone"])
    (row,) = csv.DictReader((tmp_path / "trials.csv").read_text().splitlines())
    assert row["bits:a.conv"] == "w8a32"
    assert row["bits:gone"] == ""
