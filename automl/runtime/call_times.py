"""Times of networks that our runner called in turns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from automl.runtime.calls import Calls, Summary


@dataclass(frozen=True, slots=True)
class CallTimes:
    """All timed calls, batch by batch."""

    kind: ClassVar[str] = "calls"
    """What a device profile calls such times."""
    batches: tuple[Calls, ...]
    """Networks that were open at the same time, the anchor (number 0) among them."""

    @classmethod
    def of(cls, batches: Sequence[Sequence[Sequence[Any]]], networks: int) -> "CallTimes":
        """Reads what `to_json` gave; raises `TypeError` or `ValueError` where not each of `networks` has a time."""
        found = tuple(Calls.of(rows) for rows in batches)
        if {number for calls in found for number in calls.numbers} != set(range(networks)):
            raise ValueError("a network has no time")
        if not all(0 in calls.numbers for calls in found):
            raise ValueError("a batch has no anchor")
        return cls(found)

    def to_json(self) -> list[list[list[float]]]:
        """The rows of each batch, as the runner writes them."""
        return [calls.to_json() for calls in self.batches]

    @property
    def clean(self) -> float:
        """Share of all calls that nothing interrupted, in [0, 1]."""
        return float(np.concatenate([calls.clean for calls in self.batches]).mean())

    @property
    def drift(self) -> float:
        """By how much the anchor's time moved within a batch, as a share; of the worst batch."""
        return max(calls.drift for calls in self.batches)

    def summary(self, number: int) -> Summary:
        """What the calls of one network say by themselves, those of all batches together."""
        return Calls.joined(self.batches).summary(number)

    def latency_ms(self) -> NDArray[np.float64]:
        """Shape `(networks,)`: each network's milliseconds where nothing else is going on, about."""
        everything = Calls.joined(self.batches)
        return np.array([everything.summary(number).min_ms for number in everything.numbers])
