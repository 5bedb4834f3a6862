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
from automl.store.address import StudyAddress
from automl.store.study import open_study
from automl.store.trials import (
    completed,
    evaluated,
    policy_of_trial,
    settled,
)
from tests.contracts.trials import fail, ledger, proposal, tell

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


def test_an_evaluation_survives_the_way_through_the_database(path: Path) -> None:
    with open_study(StudyAddress.of_file(path)) as study:
        tell(study, EVALUATION)
    with open_study(StudyAddress.of_file(path)) as study:
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
    with open_study(StudyAddress.of_file(path)) as study:
        tell(study, odd)
        assert completed(study) == [expected]


def test_only_completed_trials_are_evaluations(path: Path) -> None:
    with open_study(StudyAddress.of_file(path)) as study:
        tell(study, EVALUATION)
        study.tell(study.ask(), state=TrialState.FAIL)
        study.ask()
        assert len(completed(study)) == 1


def test_policies_that_were_evaluated_are_being_evaluated_or_cannot_be_need_no_trial() -> None:
    study = optuna.create_study()
    tell(study, EVALUATION)
    other, third = CompressionPolicy({"a.conv": 4}), CompressionPolicy({"a.conv": 2})
    fail(study, other, "RuntimeError: out of memory")
    ledger(study).begin(proposal(third))
    assert settled(study) == {POLICY.digest(), other.digest(), third.digest()}


def test_trials_from_the_cache_were_not_evaluated() -> None:
    study = optuna.create_study()
    tell(study, EVALUATION)
    tell(study, EVALUATION, "cache")
    assert len(completed(study)) == 2
    assert evaluated(study) == 1


@pytest.mark.parametrize("value", [None, [], {}, {"cost": 3}, {"accuracy_ci95": [1]}])
def test_a_trial_changed_by_hand_is_refused(value: object) -> None:
    study = optuna.create_study()
    trial = study.ask()
    trial.set_user_attr("evaluation", value)
    study.tell(trial, 0.5)
    with pytest.raises(RunError, match="trial 0 does not"):
        completed(study)


def test_a_trial_says_what_it_evaluates() -> None:
    study = optuna.create_study()
    tell(study, EVALUATION)
    assert policy_of_trial(study.trials[0]) == POLICY
    study.tell(study.ask(), state=TrialState.FAIL)
    with pytest.raises(RunError, match="trial 1 does not"):
        policy_of_trial(study.trials[1])
