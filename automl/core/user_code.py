"""The user's own code, by name; only ever named on the command line or in the user's own configuration."""

import pkgutil
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.core.errors import InputError

_KINDS = {"timm", "torchvision", "imagefolder", "synthetic"}
"""Of models and data sets of ours, which a colon follows too."""


def names_code(spec: str) -> bool:
    """Whether `spec` has the form `pkg.mod:name`, and is none of our own names for models and data sets."""
    is_name = re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", spec) is not None
    return is_name and spec.partition(":")[0] not in _KINDS


@dataclass(frozen=True, slots=True)
class Named:
    """What a user names on the command line, beside a run or a study that names it too."""

    model: str | None = None
    """Model spec; None where the user left it out."""
    data: str | None = None
    """Data spec; None where the user left it out."""

    def check_code(self, *, model: str, data: str) -> None:
        """Refuses code that only a run or a study names.

        Args:
            model: Model spec of the run.
            data: Data spec of the run.

        Raises:
            InputError: If one of them is code, and not what the user named.
        """
        for what, wanted, given in (("model", model, self.model), ("data", data, self.data)):
            if names_code(wanted) and given != wanted:
                raise InputError(
                    f"Code is imported only where the user names it, but this search has {what} {wanted!r}. "
                    f"If you trust it, say so: `--{what} {wanted}`."
                )


NOTHING = Named()


def resolve(spec: str) -> Any:
    """What `pkg.mod:name` names; runs that module. Whatever its import raises goes through."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # the user's module lies beside the command, which no installed script sees
    return pkgutil.resolve_name(spec)
