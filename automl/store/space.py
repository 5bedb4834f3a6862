"""Room on the disk, looked at before hours of work need it."""

import shutil
from pathlib import Path

from automl.core.errors import StorageError


def check_space(folder: Path, needed_bytes: int) -> None:
    """Refuses to begin what cannot be written.

    Args:
        folder: Where it will be written; it need not be there yet.
        needed_bytes: What certainly is needed.

    Raises:
        StorageError: If there is less.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    usage = shutil.disk_usage(there)
    if usage.total > 0 and usage.free < needed_bytes:  # some file systems do not know
        raise StorageError(
            f"A run of this network needs {needed_bytes / 1e6:,.1f} MB for weights and checkpoints, but {there} has "
            f"{usage.free / 1e6:,.1f} MB free. Free some space, or choose another disk with `--runs`."
        )
