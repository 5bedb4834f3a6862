"""The user's own code, by name; only ever named on the command line or in the user's own configuration."""

import pkgutil
import re
import sys
from pathlib import Path
from typing import Any

_KINDS = {"timm", "torchvision", "imagefolder", "synthetic"}
"""Of models and data sets of ours, which a colon follows too."""


def names_code(spec: str) -> bool:
    """Whether `spec` has the form `pkg.mod:name`, and is none of our own names for models and data sets."""
    is_name = re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", spec) is not None
    return is_name and spec.partition(":")[0] not in _KINDS


def resolve(spec: str) -> Any:
    """What `pkg.mod:name` names; runs that module. Whatever its import raises goes through."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # the user's module lies beside the command, which no installed script sees
    return pkgutil.resolve_name(spec)
