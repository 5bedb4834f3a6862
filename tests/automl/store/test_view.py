from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

from automl.core.policy import CompressionPolicy
from automl.store.address import StudyAddress
from automl.store.study import open_study
from automl.store.view import view
from tests.contracts import postgres
from tests.contracts.problem import SENSITIVITY, SeparableEvaluator
from tests.contracts.trials import tell

SHOWN = {"dashboard:note_ver": 1, "dashboard:note_str:0": "A note."}


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StudyAddress]:
    if request.param == "sqlite":
        yield StudyAddress.parse(f"sqlite:///{tmp_path}/shared.db", "mine")
        return
    pytest.importorskip("psycopg")
    reason = postgres.missing()
    if reason is not None:
        pytest.skip(reason)
    with postgres.running_server() as server:
        yield StudyAddress.parse(server.url, "mine")


def complete(study: optuna.Study) -> None:
    tell(study, SeparableEvaluator()(CompressionPolicy(dict.fromkeys(SENSITIVITY, 16))))


def test_one_study_is_seen_with_what_is_shown_beside_it_and_cannot_be_written(address: StudyAddress) -> None:
    with open_study(StudyAddress(address.url, "another")) as another:
        complete(another)
    with open_study(address) as study, view(study, address, SHOWN) as storage:
        study.set_user_attr("worker", "w")
        complete(study)
        (found,) = storage.get_all_studies()
        assert (found.study_name, found.user_attrs, found.system_attrs) == ("mine", {"worker": "w"}, SHOWN)
        assert storage.get_study_system_attrs(study._study_id) == SHOWN
        complete(study)  # while it is looked at
        seen = storage.get_all_trials(study._study_id)
        assert [trial.value for trial in seen] == [trial.value for trial in study.trials]
        assert len(seen) == 2
        with pytest.raises(StorageInternalError):
            storage.set_study_system_attr(study._study_id, "note", "changed")
        with pytest.raises(StorageInternalError):
            storage.delete_study(study._study_id)
        running = study.ask()
        with pytest.raises(StorageInternalError):
            storage.set_trial_state_values(running._trial_id, TrialState.FAIL)
        storage.remove_session()
        assert study._storage.get_study_system_attrs(study._study_id) == {}
        complete(study)
        states = [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.RUNNING, TrialState.COMPLETE]
        assert [trial.state for trial in study.trials] == states
