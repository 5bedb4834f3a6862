"""Passwords of databases: taken out of what the user gave before anything can show or keep them."""

import os
from collections.abc import Sequence

from sqlalchemy import URL

from automl.store.address import parsed, shown


def to_environment(storage: str) -> str:
    """A storage URL without its password, which goes to `PGPASSWORD`, where the driver and child processes find it.

    Raises:
        InputError: If it is no URL of a database.
    """
    url = parsed(storage)
    secret = url.password or url.query.get("password")
    if secret:
        os.environ["PGPASSWORD"] = str(secret)
    query = {name: value for name, value in url.query.items() if name != "password"}
    plain = URL.create(url.drivername, url.username, None, url.host, url.port, url.database, query)
    return plain.render_as_string(hide_password=False)


def masked(command: Sequence[str]) -> list[str]:
    """A command line as it may be written down: URLs with `***` for their passwords."""
    return [_masked(word) for word in command]


def _masked(word: str) -> str:
    option, equals, value = word.partition("=")
    if "://" in option:
        return shown(word)
    return option + equals + shown(value) if equals and "://" in value else word
