import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from automl.core.errors import RunError, StorageError
from automl.store.address import StudyAddress
from automl.store.bulk import BulkStorage
from automl.store.study import open_study


def add_trial(study: optuna.Study, value: float) -> None:
    trial = study.ask()
    trial.suggest_float("x", 0.0, 1.0)
    study.tell(trial, value)


def test_a_study_goes_on_where_it_was_closed(tmp_path: Path) -> None:
    for number in range(3):
        with open_study(StudyAddress.of_file(tmp_path / "study.db")) as study:
            assert len(study.trials) == number
            add_trial(study, 1.0 - number)
    with open_study(StudyAddress.of_file(tmp_path / "study.db")) as study:
        assert study.best_value == -1.0


def test_a_path_may_hold_what_a_url_gives_a_meaning(tmp_path: Path) -> None:
    folder = tmp_path / "50% {SCHEMA} a?b#c d"
    folder.mkdir()
    with open_study(StudyAddress.of_file(folder / "study.db")) as study:
        add_trial(study, 1.0)
    assert (folder / "study.db").stat().st_size > 0


def test_the_database_uses_a_write_ahead_log(tmp_path: Path) -> None:
    with (
        open_study(StudyAddress.of_file(tmp_path / "study.db")),
        closing(sqlite3.connect(tmp_path / "study.db")) as connection,
    ):
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_reader_leaves_the_trial_of_a_running_search_alone(tmp_path: Path) -> None:
    with open_study(StudyAddress.of_file(tmp_path / "study.db")) as study:
        study.ask()
        with open_study(StudyAddress.of_file(tmp_path / "study.db")) as other:
            assert other.trials[0].state is TrialState.RUNNING


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    path.write_bytes(b"not a database at all" * 50)
    with pytest.raises(RunError, match="undamaged Optuna database"), open_study(StudyAddress.of_file(path)):
        pass
    assert path.read_bytes() == b"not a database at all" * 50


def test_a_database_with_a_torn_page_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with open_study(StudyAddress.of_file(path)) as study:
        for _ in range(5):
            add_trial(study, 1.0)
    torn = bytearray(path.read_bytes())
    torn[4096:] = b"\xff" * (len(torn) - 4096)
    path.write_bytes(torn)
    with pytest.raises(RunError, match="undamaged Optuna database"), open_study(StudyAddress.of_file(path)):
        pass


def test_the_database_of_another_program_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE invoices (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(RunError, match="other tables, such as 'invoices'"), open_study(StudyAddress.of_file(path)):
        pass
    assert path.read_bytes() == before


def test_the_tables_of_another_optuna_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with open_study(StudyAddress.of_file(path)):
        pass
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
    with pytest.raises(RunError, match="no longer compatible"), open_study(StudyAddress.of_file(path)):
        pass


def test_a_disk_that_refuses_a_trial_is_a_storage_error(tmp_path: Path) -> None:
    path = tmp_path / "study.db"

    def add_trial_to_a_damaged_table(study: optuna.Study) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE trial_params")
        add_trial(study, 2.0)

    with pytest.raises(StorageError, match=r"no such table.*is whole"), open_study(StudyAddress.of_file(path)) as study:
        add_trial_to_a_damaged_table(study)


def test_a_folder_that_does_not_exist_is_a_run_error(tmp_path: Path) -> None:
    with (
        pytest.raises(RunError, match="unable to open database file"),
        open_study(StudyAddress.of_file(tmp_path / "none" / "study.db")),
    ):
        pass


def test_tables_that_another_process_makes_at_the_same_moment_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = 0

    def racing(url: str, engine_kwargs: dict[str, Any]) -> BulkStorage:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise OperationalError("CREATE TABLE studies", {}, sqlite3.OperationalError("table studies already exists"))
        return BulkStorage(url, engine_kwargs=engine_kwargs)

    monkeypatch.setattr("automl.store.study.BulkStorage", racing)
    with open_study(StudyAddress.of_file(tmp_path / "study.db")) as study:
        add_trial(study, 1.0)
    assert attempts == 2


def test_looking_for_a_study_makes_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(RunError, match="has none called 'search'"),
        open_study(StudyAddress.of_file(tmp_path / "study.db"), make=False),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_a_trial_that_somebody_changed_is_refused_where_the_study_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with open_study(StudyAddress.of_file(path)) as study:
        add_trial(study, 1.0)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE trial_params SET param_value = 7.0")
    with pytest.raises(RunError, match="trial 0 does not"), open_study(StudyAddress.of_file(path)):
        pass
