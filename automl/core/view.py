"""What a cost can see of a width: hardware computes in multiples, so that 17 channels may cost what 32 do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

ViewKind = Literal["width", "padded", "odd", "alive"]


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
            raise ValueError(f"A view is width, alive, or padded or odd from 2 on, not {self.kind} {self.multiple}")

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
