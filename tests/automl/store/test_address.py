from pathlib import Path

import pytest

from automl.core.errors import InputError
from automl.store.address import StudyAddress, shown


def test_a_file_is_an_address() -> None:
    address = StudyAddress.of_file(Path("runs/a/study.db"))
    assert address.path == Path("runs/a/study.db")
    assert str(address) == "runs/a/study.db"


def test_a_sqlite_url_is_the_file_that_it_names() -> None:
    assert StudyAddress.parse("sqlite:////data/shared.db", "a").path == Path("/data/shared.db")


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_has_one_driver_however_it_is_written(scheme: str) -> None:
    pytest.importorskip("psycopg")
    address = StudyAddress.parse(f"{scheme}://me:secret@host:5433/studies", "a")
    assert address.path is None
    assert address.url.drivername == "postgresql+psycopg"
    assert (address.url.host, address.url.port, address.url.database) == ("host", 5433, "studies")


def test_as_text_it_hides_a_password() -> None:
    pytest.importorskip("psycopg")
    assert (
        str(StudyAddress.parse("postgresql://me:secret@host/studies", "a"))
        == "postgresql+psycopg://me:***@host/studies"
    )


@pytest.mark.parametrize(
    "storage",
    [
        "",
        "nonsense",
        "mysql://host/db",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://host",
        "http://host/db",
        "://",
    ],
)
def test_what_is_no_database_that_we_use_is_refused(storage: str) -> None:
    with pytest.raises(InputError, match="`--storage` must"):
        StudyAddress.parse(storage, "a")


def test_a_refusal_shows_no_password() -> None:
    with pytest.raises(InputError) as refused:
        StudyAddress.parse("mysql://me:secret@host/db", "a")
    assert "secret" not in str(refused.value)
    assert shown("mysql://me:secret@host/db") == "mysql://me:***@host/db"
