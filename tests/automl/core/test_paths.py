from pathlib import Path

import pytest

from automl.core.paths import at_home


def test_a_tilde_is_the_users_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert at_home("~/images") == Path("/home/me/images")
    assert at_home("images") == Path("images")


def test_a_user_who_does_not_exist_has_no_home() -> None:
    assert at_home("~nobody_such/images") == Path("~nobody_such/images")
