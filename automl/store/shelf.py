"""Files of a run that its workers need, in the database that they share: nothing else has to be reachable from them."""

import hashlib
from collections.abc import Mapping

from sqlalchemy import (
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    insert,
    inspect,
    select,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from automl.core.errors import RunError, StorageError
from automl.store.address import StudyAddress

_PART_BYTES = 2**20
_TABLE = Table(
    "automl_files",
    MetaData(),
    Column("study", String(512), primary_key=True),
    Column("name", String(512), primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("content", LargeBinary, nullable=False),
)


def publish(address: StudyAddress, files: Mapping[str, bytes]) -> None:
    """Puts the files of a study in the place of all that were there, or leaves those.

    Args:
        address: Of the study.
        files: Name -> content.

    Raises:
        StorageError: If the database refuses.
    """
    engine = create_engine(address.url, **address.engine_settings)
    try:
        with engine.begin() as connection:
            _TABLE.create(connection, checkfirst=True)
            connection.execute(delete(_TABLE).where(_TABLE.c.study == address.name))
            for name, content in files.items():
                _insert(connection, address.name, name, content)
    except SQLAlchemyError as error:
        raise _refused(address, error) from error
    finally:
        engine.dispose()


def fetch(address: StudyAddress) -> dict[str, bytes]:
    """Name -> content of the files of a study, each as it was published; empty where nothing is yet.

    Raises:
        StorageError: If the database refuses.
        RunError: If a file is not what was published.
    """
    engine = create_engine(address.url, **address.engine_settings)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table(_TABLE.name):
                return {}
            query = select(_TABLE).where(_TABLE.c.study == address.name).order_by(_TABLE.c.name, _TABLE.c.part)
            rows = connection.execute(query).all()
    except SQLAlchemyError as error:
        raise _refused(address, error) from error
    except ValueError as error:  # SQLite keeps anything in any column
        raise _changed(address, "a file") from error
    finally:
        engine.dispose()
    parts: dict[str, list[bytes]] = {}
    for row in rows:
        if not isinstance(row.content, bytes):
            raise _changed(address, repr(row.name))
        parts.setdefault(row.name, []).append(row.content)
    files = {name: b"".join(contents) for name, contents in parts.items()}
    for row in rows:
        if hashlib.sha256(files[row.name]).hexdigest() != row.digest:
            raise _changed(address, repr(row.name))
    return files


def _insert(connection: Connection, study: str, name: str, content: bytes) -> None:
    digest = hashlib.sha256(content).hexdigest()
    for part, start in enumerate(range(0, max(len(content), 1), _PART_BYTES)):
        row = {"study": study, "name": name, "part": part, "digest": digest}
        connection.execute(insert(_TABLE), {**row, "content": content[start : start + _PART_BYTES]})


def _changed(address: StudyAddress, what: str) -> RunError:
    return RunError(
        f"A published file must be whole, but {what} of the study {address.name!r} is not. "
        "Publish it again with `automl resume` where the search was begun."
    )


def _refused(address: StudyAddress, error: SQLAlchemyError) -> StorageError:
    reason = " ".join(str(error.__cause__ or error).split())
    return StorageError(f"Workers get the files of a study from its database, but {address} refused: {reason}.")
