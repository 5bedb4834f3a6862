import os

import pytest

from automl.core.errors import InputError
from automl.store.password import masked, to_environment


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "from before")


@pytest.mark.parametrize("url", ["postgresql://me:se%2Fcret@host/db", "postgresql://me@host/db?password=se%2Fcret"])
def test_a_password_goes_to_where_the_driver_looks_for_it(url: str) -> None:
    assert to_environment(url) == "postgresql://me@host/db"
    assert os.environ["PGPASSWORD"] == "se/cret"


def test_without_one_nothing_changes() -> None:
    assert to_environment("postgresql://me@host/db?sslmode=require") == "postgresql://me@host/db?sslmode=require"
    assert os.environ["PGPASSWORD"] == "from before"


def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(InputError, match="must be the URL of a database"):
        to_environment("nonsense")


def test_a_command_line_is_kept_without_passwords() -> None:
    command = ["automl", "search", "--storage", "postgresql://me:secret@host/db", "--budget=0.25flops"]
    assert masked(command) == ["automl", "search", "--storage", "postgresql://me:***@host/db", "--budget=0.25flops"]
    assert masked(["--storage=postgresql://me:secret@host/db"]) == ["--storage=postgresql://me:***@host/db"]
    assert masked(["--storage=postgresql://me@host/db?password=secret"])[0].count("secret") == 0
