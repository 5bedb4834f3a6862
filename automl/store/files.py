"""Durable files: written aside, flushed to the disk and renamed, so that a kill leaves the old one or the new one."""

import errno
import json
import math
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from automl.core.errors import AutoMLError, RunError, StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_MOST_BYTES = 2**28
"""Of a text that is read as a whole; a device profile has some hundred kilobytes."""
_MOST_INTEGER = 2**63


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; what the body writes there replaces `path` when it ends well.

    Args:
        path: The file to write. Its folder is made if it is missing.

    Raises:
        RunError: If the disk is full or the folder cannot be written. What `path` held before stays whole.
    """
    aside: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = _fresh_file(path)
        yield aside
        aside.chmod(0o666 & ~umask())  # some writers make a new file of their own
        _flush_to_disk(aside)
        aside.replace(path)
        _flush_to_disk(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if aside is not None:
            with suppress(OSError):
                aside.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `content` to `path`, whole or not at all; raises `RunError` where the disk refuses."""
    with replacing(path) as aside:
        aside.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Writes `content` as UTF-8 to `path`, whole or not at all; raises `RunError` where the disk refuses."""
    write_bytes(path, content.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON to `path`; NaN and infinity, which JSON does not have, raise `ValueError`."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """`value` as indented JSON; NaN and infinity, which JSON does not have, raise `ValueError`."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def read_text(path: Path) -> str:
    """The text of a file that anybody may have written.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no plain file (a device may never end), is larger than 256 MiB, or is not UTF-8.
    """
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no plain file")
    if found.st_size > _MOST_BYTES:
        raise ValueError(f"it has {found.st_size:,} bytes, and {_MOST_BYTES:,} are the most")
    return path.read_text(encoding="utf-8")


def read_json(path: Path) -> Any:
    """The value in a JSON file that anybody may have written; raises what `read_text` and `parsed_json` raise."""
    return parsed_json(read_text(path))


def parsed_json(text: str) -> Any:
    """The value that `text` says in JSON.

    Raises:
        ValueError: If it is no JSON, or more than JSON is to be here: NaN, infinity, integers beyond 64 bits, a key
            twice in one object, or hundreds of lists in each other.
    """
    try:
        return json.loads(
            text, object_pairs_hook=_once, parse_float=_finite, parse_int=_integer, parse_constant=_no_number
        )
    except RecursionError as error:
        raise ValueError("its lists and objects are nested too deeply") from error


def unwritable(path: Path, error: OSError) -> AutoMLError:
    """The refusal for a folder or disk that does not take `path`: the user's mistake, unless the disk is full."""
    message = (
        f"The run folder must be writable, but {path} is not: {error.strerror or error}. "
        "Free some space or choose another folder; what was written before is whole."
    )
    return StorageError(message) if error.errno in _FULL else RunError(message)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it has the key {next(name for name in names if names.count(name) > 1)!r} twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _integer(text: str) -> int:
    number = int(text) if len(text) < 20 else _MOST_INTEGER
    return number if abs(number) < _MOST_INTEGER else _no_number(text)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is no number that it may have")


def _fresh_file(path: Path) -> Path:
    # The suffix stays the last one, because some writers choose the format by it.
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    return Path(name)


def umask() -> int:
    """The permissions that new files of this process do not have."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _flush_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
