"""What a cost can see of a width: hardware computes in multiples, so that 17 channels may cost what 32 do."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from automl.core.errors import InputError

ViewKind = Literal["width", "padded", "odd", "alive"]
_GRAMMAR = "A view of a width is `width`, `alive`, `padded16` or `odd16`, with any multiple from 2 on"


@dataclass(frozen=True, slots=True)
class View:
    """A function of widths that is 0 at 0 and never negative."""

    kind: ViewKind
    """`width` is the width itself, `padded` the next multiple, `odd` the width where it is no multiple and else 0,
    `alive` 1 where anything is left."""
    multiple: int = 1
    """Of `padded` and `odd`, at least 2; the others have none, which is 1."""

    def __post_init__(self) -> None:
        of_multiples = self.kind in {"padded", "odd"}
        if self.kind not in get_args(ViewKind) or (self.multiple < 2 if of_multiples else self.multiple != 1):
            raise InputError(_GRAMMAR + f", but got {self.kind!r} with {self.multiple}.")

    def __call__(self, widths: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
        """What this view sees of each of `widths`; of the same shape."""
        values = np.asarray(widths, dtype=np.float64)
        match self.kind:
            case "width":
                return values
            case "padded":
                return np.asarray(np.ceil(values / self.multiple) * self.multiple, dtype=np.float64)
            case "odd":
                return np.where(values % self.multiple != 0, values, 0.0)
            case "alive":
                return (values > 0).astype(np.float64)

    def __str__(self) -> str:
        """The view as `parse` reads it."""
        return self.kind if self.multiple == 1 else f"{self.kind}{self.multiple}"

    @classmethod
    def parse(cls, text: str) -> "View":
        """Reads `width`, `padded16`, `odd16` or `alive`.

        Raises:
            InputError: If it is none of these.
        """
        kinds: dict[str, ViewKind] = {kind: kind for kind in get_args(ViewKind)}
        match = re.fullmatch(r"([a-z]+)([1-9][0-9]{0,8})?", text)
        if match is None or match.group(1) not in kinds or match.group(2) == "1":
            raise InputError(_GRAMMAR + f", but got {text!r}.")
        return cls(kinds[match.group(1)], int(match.group(2) or 1))


WIDTH = View("width")


def lifted(widths: NDArray[np.int64] | NDArray[np.float64], views: Sequence[View]) -> NDArray[np.float64]:
    """Every view of every width.

    Args:
        widths: Shape `(..., groups)`.
        views: What to see of each.

    Returns:
        Shape `(..., groups * views)`: all views of the first group, then those of the second.
    """
    seen = [view(widths) for view in views]
    return seen[0] if len(seen) == 1 else np.stack(seen, axis=-1).reshape(*widths.shape[:-1], -1)
