from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from automl.core.errors import RunError, StorageError
from automl.store.address import StudyAddress
from automl.store.shelf import fetch, publish
from automl.store.study import open_study


@pytest.fixture
def address(tmp_path: Path) -> StudyAddress:
    return StudyAddress.parse(f"sqlite:///{tmp_path}/shared.db", "a")


def test_files_come_back_as_they_were(address: StudyAddress) -> None:
    files = {"config.toml": b"trials = 3\n", "empty": b"", "state/weights": bytes(range(256)) * 12_345}
    publish(address, files)
    assert fetch(address) == files


def test_nothing_is_there_before_it_is_published(address: StudyAddress) -> None:
    assert fetch(address) == {}


def test_a_study_has_its_own_files_and_new_ones_replace_them_all(address: StudyAddress) -> None:
    other = StudyAddress(address.url, "b")
    publish(address, {"one": b"1", "two": b"2"})
    publish(other, {"one": b"other"})
    publish(address, {"one": b"new"})
    assert fetch(address) == {"one": b"new"}
    assert fetch(other) == {"one": b"other"}


def test_they_lie_beside_the_study(address: StudyAddress) -> None:
    with open_study(address):
        publish(address, {"one": b"1"})
    with open_study(address) as study:
        assert study.study_name == "a"
    assert fetch(address) == {"one": b"1"}


def test_a_file_that_was_changed_is_refused(address: StudyAddress) -> None:
    publish(address, {"one": b"1"})
    with create_engine(address.url, **address.engine_settings).begin() as connection:
        connection.execute(text("UPDATE automl_files SET content = x'32'"))
    with pytest.raises(RunError, match="'one' of the study 'a' is not"):
        fetch(address)


def test_a_database_that_refuses_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"none/shared\.db refused: unable to open"):
        fetch(StudyAddress.parse(f"sqlite:///{tmp_path}/none/shared.db", "a"))
