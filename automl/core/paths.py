"""Paths as people write them."""

from pathlib import Path


def at_home(path: str) -> Path:
    """`path` with its `~` written out; that of a user who does not exist stays, and names nothing."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
