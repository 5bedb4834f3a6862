"""Durable files: written aside, flushed to the disk and renamed, so that a kill leaves the old one or the new one."""

import errno
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from automl.core.errors import AutoMLError, RunError, StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


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


def unwritable(path: Path, error: OSError) -> AutoMLError:
    """The refusal for a folder or disk that does not take `path`: the user's mistake, unless the disk is full."""
    message = (
        f"The run folder must be writable, but {path} is not: {error.strerror or error}. "
        "Free some space or choose another folder; what was written before is whole."
    )
    return StorageError(message) if error.errno in _FULL else RunError(message)


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
