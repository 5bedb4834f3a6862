"""The user's own code, by name; only ever named on the command line or in the user's own configuration."""

import pkgutil
import sys
from pathlib import Path
from typing import Any


def resolve(spec: str) -> Any:
    """What `pkg.mod:name` names; runs that module. Whatever its import raises goes through."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # the user's module lies beside the command, which no installed script sees
    return pkgutil.resolve_name(spec)
