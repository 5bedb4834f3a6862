"""One decision of the search."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Knob:
    """An ordered set of values for one channel group."""

    target: str
    """Name of the channel group."""
    kind: Literal["channels"]
    choices: tuple[int, ...]
    """Values allowed, ascending; 0 drops the target's branch, and the last one leaves the target untouched."""
