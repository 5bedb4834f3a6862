"""Intervals of values, each counted with its least loss and its least cost: a bound that tables of any size allow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.search.knapsack import Knapsack, Losses
from automl.search.lagrangian import Menu

_MOST_ENTRIES = 1 << 23
"""Of all tables together: 64 MiB, and about as much again for their min-marginals."""
Entries = Callable[[Sequence[int]], float]
"""Entries of all tables, for so many levels of each variable."""


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """For each variable, disjoint ranges of its values; those that are left out cannot be in a better choice."""

    firsts: tuple[NDArray[np.int64], ...]
    """Positions of the least value of each interval, ascending."""
    lasts: tuple[NDArray[np.int64], ...]
    """Positions of the greatest."""

    @classmethod
    def of(cls, knapsack: Knapsack, entries: Entries) -> "Intervals":
        """All values, one by one where the tables allow it."""
        zero = [np.array([0]) if row[0] == 0 else np.array([], dtype=np.int64) for row in knapsack.values]
        starts = [np.append(z, len(z)) for z in zero]  # a dropped branch is never one of a range
        ends = [np.append(z, size - 1) for z, size in zip(zero, knapsack.sizes, strict=True)]
        return cls(tuple(starts), tuple(ends))._refined(entries)

    @property
    def single(self) -> bool:
        """Whether every interval is one value, so that the menu is the true one."""
        return all((first == last).all() for first, last in zip(self.firsts, self.lasts, strict=True))

    def menu(self, knapsack: Knapsack, losses: Losses) -> Menu:
        """Each interval as a level that loses like its greatest value and costs no more than any.

        Of each view it has the least that is seen of its values, because no cost has a negative coefficient.
        """
        return Menu(
            levels=self.lasts,
            values=tuple(row[first] for row, first in zip(knapsack.values, self.firsts, strict=True)),
            seen=tuple(map(_least, knapsack.seen, self.firsts, self.lasts)),
            losses=tuple(row[last] for row, last in zip(losses, self.lasts, strict=True)),
        )

    def split(self, kept: Sequence[NDArray[np.bool_]], entries: Entries) -> "Intervals | None":
        """The intervals that are kept, halved as often as the tables allow; None where not even once."""
        left = Intervals(
            tuple(first[keep] for first, keep in zip(self.firsts, kept, strict=True)),
            tuple(last[keep] for last, keep in zip(self.lasts, kept, strict=True)),
        )
        finer = left._refined(entries)
        return None if all(map(np.array_equal, finer.firsts, self.firsts)) else finer

    def _refined(self, entries: Entries) -> "Intervals":
        """Halves the intervals of one variable after the other, those with the longest first."""
        firsts, lasts = list(self.firsts), list(self.lasts)
        longest = [_longest(*row) for row in zip(firsts, lasts, strict=True)]
        while max(longest) > 0:
            variable = int(np.argmax(longest))
            halves = _halved(firsts[variable], lasts[variable])
            sizes = [len(row) for row in firsts]
            sizes[variable] = len(halves[0])
            if entries(sizes) <= _MOST_ENTRIES:
                firsts[variable], lasts[variable] = halves
                longest[variable] = _longest(*halves)
            else:
                longest[variable] = 0.0
        return Intervals(tuple(firsts), tuple(lasts))


def _least(seen: NDArray[np.float64], first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.float64]:
    """Shape `(views, intervals)`: the least of each view from `first` to `last`; `seen` has shape `(views, values)`."""
    padded = np.pad(seen, ((0, 0), (0, 1)), constant_values=np.inf)
    ends = np.stack([first, last + 1], axis=1).ravel()
    return np.asarray(np.minimum.reduceat(padded, ends, axis=1)[:, ::2], dtype=np.float64)


def _longest(first: NDArray[np.int64], last: NDArray[np.int64]) -> float:
    """The greatest share of its values that one interval spans; 0 where all are single."""
    return float(((last - first) / (last + 1)).max())


def _halved(first: NDArray[np.int64], last: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    middle = (first + last) // 2
    long = last > first
    return np.sort(np.concatenate([first, middle[long] + 1])), np.sort(np.concatenate([middle, last[long]]))
