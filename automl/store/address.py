"""Where a study is: a database and a name in it."""

import importlib.util
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from automl.core.errors import InputError
from automl.store.sqlite import connect

OWN_STUDY = "search"
"""Name of the study in a run's own file."""
_DRIVER = "postgresql+psycopg"
_SERVERS = {"postgresql", "postgres", _DRIVER}
_CONNECT_S = 10


@dataclass(frozen=True, slots=True)
class StudyAddress:
    """A study in a database; as text it never shows a password."""

    url: URL
    name: str
    """Of the study."""

    @classmethod
    def of_file(cls, path: Path) -> "StudyAddress":
        """The study of a run that has a file of its own."""
        return cls(URL.create("sqlite", database=str(path)), OWN_STUDY)

    @classmethod
    def parse(cls, storage: str, name: str) -> "StudyAddress":
        """The study called `name` at a URL that a user gave.

        Args:
            storage: `postgresql://USER@HOST/DATABASE` or `sqlite:////PATH`. A password that it lacks is taken from
                `PGPASSWORD` or `~/.pgpass`, as all programs of PostgreSQL do.
            name: Of the study.

        Raises:
            InputError: If it is no such URL, or the driver is not installed.
        """
        url = parsed(storage)
        if url.drivername == "sqlite":
            return cls(url, name)
        if url.drivername not in _SERVERS:
            raise InputError(
                f"`--storage` must be a database of PostgreSQL or SQLite, but {shown(storage)!r} is not. {_FORMS}"
            )
        if importlib.util.find_spec("psycopg") is None:
            raise InputError(
                "`--storage postgresql://...` needs the package psycopg, which is not installed. "
                "Install it with `pip install 'automl-compress[postgres]'`."
            )
        return cls(url.set(drivername=_DRIVER), name)

    @property
    def path(self) -> Path | None:
        """The file, where the database is one."""
        return Path(self.url.database or "") if self.url.drivername == "sqlite" else None

    @property
    def engine_url(self) -> str:
        """What SQLAlchemy is to open, password and all; never shown."""
        # Of a file the URL only names the dialect: Optuna would read braces and question marks of a path in it.
        return "sqlite:///study.db" if self.path is not None else self.url.render_as_string(hide_password=False)

    @property
    def engine_settings(self) -> dict[str, Any]:
        """How SQLAlchemy is to connect."""
        if self.path is not None:
            return {"creator": partial(connect, self.path)}
        settings = {"connect_timeout": _CONNECT_S, "application_name": "automl"}
        # A connection that the server has closed meanwhile is replaced before it is used.
        return {"pool_pre_ping": True, "connect_args": settings}

    @property
    def reading_settings(self) -> dict[str, Any]:
        """The same, for connections on which the database refuses to write."""
        if self.path is not None:
            return {"creator": partial(connect, self.path, read_only=True)}
        settings = self.engine_settings
        settings["connect_args"]["options"] = "-c default_transaction_read_only=on"
        return settings

    def __str__(self) -> str:
        """For people: the file, or the URL without its password."""
        return str(self.path) if self.path is not None else self.url.render_as_string(hide_password=True)


_FORMS = "Write postgresql://USER@HOST/DATABASE, or sqlite:////PATH for processes of one machine."


def shown(storage: str) -> str:
    """A storage URL as it may be shown or written down: with `***` for its password."""
    try:
        url = make_url(storage)
    except (ArgumentError, ValueError):
        return "a URL that cannot be read"
    hidden = url.update_query_dict({"password": "***"}) if "password" in url.query else url
    return hidden.render_as_string(hide_password=True)


def parsed(storage: str) -> URL:
    """A storage URL, read; raises `InputError` where it is none, or names no database."""
    try:
        url = make_url(storage)
    except (ArgumentError, ValueError) as error:
        raise InputError(f"`--storage` must be the URL of a database, but this is none. {_FORMS}") from error
    if not url.database or url.database == ":memory:":
        raise InputError(f"`--storage` must name a database, but {shown(storage)!r} names none. {_FORMS}")
    return url
