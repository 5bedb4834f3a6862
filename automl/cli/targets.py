"""Files that the user names to be written."""

from pathlib import Path

from automl.core.errors import InputError


def refuse_taken(path: Path) -> None:
    """Refuses to write over anything, or below what is no folder; raises `InputError`."""
    if path.is_dir():
        raise InputError(
            f"`--to` must name a file, but {path} is a folder. Name one in it: `--to {path / 'page.html'}`."
        )
    if path.exists() or path.is_symlink():
        raise InputError(
            f"`--to` must name a new file, but {path} exists. Name another, or remove that one first: `rm {path}`."
        )
