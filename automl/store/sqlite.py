"""SQLite files that survive a kill: how they are opened, and what is wrong with a damaged one."""

import sqlite3
from contextlib import closing
from pathlib import Path

_LOCK_TIMEOUT_S = 60


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection with a write-ahead log, which makes a commit survive a kill at a third of the time."""
    # The pool, not the thread, says who uses a connection.
    connection = sqlite3.connect(path, timeout=_LOCK_TIMEOUT_S, check_same_thread=False)
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", f"query_only={int(read_only)}"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def damage(path: Path) -> str | None:
    """What is wrong with a file that should be a study, before Optuna adds its tables to it; None if nothing is."""
    if path.exists() and not path.is_file():
        return "it is no plain file"
    if not path.exists() or path.stat().st_size == 0:
        return None
    try:
        with closing(sqlite3.connect(path, timeout=_LOCK_TIMEOUT_S)) as connection:
            verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        return str(error)
    if verdict != "ok":
        return str(verdict)
    # A kill while the tables are made leaves some of them.
    if tables and not tables & {"studies", "version_info"}:
        return f"it holds other tables, such as {min(tables)!r}"
    return None
