"""Timed calls in their order, and what they say of each network.

Neighbours on the same chip make calls slower for seconds at a time, those of large networks more than those of small
ones: medians of two networks then have a ratio that changes with the neighbours. Their fastest calls do not: of twelve
processes on a busy chip, ratios of tenth percentiles spread over 2 to 10%, those of the fastest calls over 0.5 to 2%.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.core.limits import LEAST_MS, MOST_MS

_MOST_NETWORKS = 10**6
_ROWS = "calls must be rows of number, milliseconds above 0, and 1 or 0"


@dataclass(frozen=True, slots=True)
class Summary:
    """One network's calls."""

    ms: float
    """Median of those that nothing interrupted, in milliseconds; of all where there is none."""
    p10_ms: float
    """Their tenth percentile."""
    min_ms: float
    """The fastest of all: what a call takes where nothing else goes on."""
    raw_median_ms: float
    """Median of all."""
    calls: int
    clean: float
    """Share of those that nothing interrupted, in [0, 1]."""


@dataclass(frozen=True, slots=True, eq=False)
class Calls:
    """Calls of several networks, interleaved."""

    network: NDArray[np.int64]
    """Shape `(calls,)`: number of the network."""
    ms: NDArray[np.float64]
    """Shape `(calls,)`."""
    clean: NDArray[np.bool_]
    """Shape `(calls,)`: whether nothing interrupted the call."""

    @classmethod
    def of(cls, rows: Sequence[Sequence[Any]]) -> "Calls":
        """From `[number, milliseconds, 1 if clean]` in their order; raises `ValueError` where a time is not above 0."""
        table = np.array(rows, dtype=np.float64)
        if table.ndim != 2 or table.shape[1] != 3 or not np.isfinite(table).all():
            raise ValueError(_ROWS)
        if not ((abs(table[:, 0]) < _MOST_NETWORKS) & (table[:, 1] >= LEAST_MS) & (table[:, 1] <= MOST_MS)).all():
            raise ValueError(_ROWS)
        return cls(table[:, 0].astype(np.int64), table[:, 1], table[:, 2] > 0)

    @classmethod
    def joined(cls, parts: Sequence["Calls"]) -> "Calls":
        """All calls of several parts."""
        return cls(
            np.concatenate([part.network for part in parts]),
            np.concatenate([part.ms for part in parts]),
            np.concatenate([part.clean for part in parts]),
        )

    def to_json(self) -> list[list[float]]:
        """What `of` reads."""
        return [
            [int(number), float(ms), int(clean)]
            for number, ms, clean in zip(self.network, self.ms, self.clean, strict=True)
        ]

    @property
    def numbers(self) -> list[int]:
        """The networks."""
        return [int(number) for number in np.unique(self.network)]

    @property
    def drift(self) -> float:
        """By how much the anchor was slower at its slowest than at its fastest, as a share; of tenths of its calls."""
        tenths = np.array_split(self.ms[(self.network == 0) & self._used], 10)
        medians = [float(np.median(tenth)) for tenth in tenths if len(tenth)]
        return max(medians) / min(medians) - 1.0

    def summary(self, number: int) -> Summary:
        """What the calls of one network say by themselves."""
        own = self.network == number
        used = self.ms[own & self._used]
        return Summary(
            ms=float(np.median(used)),
            p10_ms=float(np.percentile(used, 10)),
            min_ms=float(self.ms[own].min()),
            raw_median_ms=float(np.median(self.ms[own])),
            calls=int(own.sum()),
            clean=float(self.clean[own].mean()),
        )

    @property
    def _used(self) -> NDArray[np.bool_]:
        """The clean calls; all those of a network that has no clean one."""
        hopeless = [number for number in self.numbers if not self.clean[self.network == number].any()]
        return np.asarray(self.clean | np.isin(self.network, hopeless), dtype=bool)
