"""Exact minimisation of a sum of small tables, by variable elimination.

Min-sum elimination (Bertele and Brioschi 1972; Dechter 1999): the variables go one by one, each leaving the minimum
over its values as a table over its neighbours. On a chain this is Viterbi; the stages of a ResNet need tables of three.
The bits of a layer's weights touch the table of that layer alone: they go first, and the widths are left as they were.
"""

import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scope = tuple[int, ...]
"""Variables, each once."""
Table = NDArray[np.float64]
_Index = tuple[slice | None, ...]


@dataclass(frozen=True, slots=True)
class Bucket:
    """One step: the variable that goes, and those that its minimum depends on."""

    variable: int
    neighbours: tuple[int, ...]
    """In the order in which they go themselves."""

    @property
    def scope(self) -> Scope:
        """The axes of this step's table."""
        return (self.variable, *self.neighbours)


def buckets(
    sizes: Sequence[int], scopes: Iterable[Scope], cap: float = np.inf, spare: Collection[int] = ()
) -> tuple[Bucket, ...]:
    """Eliminates, each time, the variable with the smallest table.

    Args:
        sizes: Number of values of each variable.
        scopes: Variables that share a table.
        cap: Most entries of one table; variables are left out, those with the most neighbours first, until none has
            more.
        spare: Variables to leave out before any other.

    Returns:
        One bucket per variable that is not left out.
    """
    logs = np.log(np.asarray(sizes, dtype=np.float64))
    adjacent = np.zeros((len(sizes), len(sizes)), dtype=bool)
    for a, b in itertools.chain.from_iterable(itertools.combinations(scope, 2) for scope in scopes):
        adjacent[a, b] = adjacent[b, a] = True
    left = np.ones(len(sizes), dtype=bool)
    steps: list[tuple[int, list[int]]] = []
    while left.any():
        entries = np.where(left, logs + adjacent @ logs, np.inf)
        variable = int(entries.argmin())
        if entries[variable] <= np.log(cap) + 1e-9 or not adjacent[variable].any():
            neighbours = np.flatnonzero(adjacent[variable])
            adjacent[np.ix_(neighbours, neighbours)] = True
            adjacent[neighbours, neighbours] = False
            steps.append((variable, neighbours.tolist()))
        else:
            variable = _most_connected(adjacent, left, spare)
        adjacent[variable] = adjacent[:, variable] = False
        left[variable] = False
    place = {variable: index for index, (variable, _) in enumerate(steps)}
    # A neighbour that was left out afterwards is held: it is no axis of the table.
    return tuple(Bucket(v, tuple(sorted((n for n in near if n in place), key=place.__getitem__))) for v, near in steps)


def _most_connected(adjacent: NDArray[np.bool_], left: NDArray[np.bool_], spare: Collection[int]) -> int:
    degree = np.where(left, adjacent.sum(axis=1), -1)
    preferred = [v for v in sorted(spare) if degree[v] > 0]
    return max(preferred, key=lambda v: int(degree[v])) if preferred else int(degree.argmax())


class Elimination:
    """The plan of one elimination, for any values of its tables; variables that `steps` leaves out are held."""

    def __init__(self, steps: Sequence[Bucket], scopes: Iterable[Scope]) -> None:
        """Places every scope, without the variables that are held, of which at least two variables are left."""
        self.buckets = tuple(steps)
        place = {bucket.variable: index for index, bucket in enumerate(self.buckets)}
        self._place = place
        self.scopes: tuple[Scope, ...] = tuple(sorted({left for left in map(self.left, scopes) if len(left) > 1}))
        """Each in the order in which its variables go; the order that `tables` expects."""
        self._scopes = {bucket.variable: bucket.scope for bucket in self.buckets}
        self._index = [_broadcast(scope, self._scopes[scope[0]]) for scope in self.scopes]
        self._parent_index: dict[int, _Index] = {
            bucket.variable: _broadcast(bucket.neighbours, self._scopes[bucket.neighbours[0]])
            for bucket in self.buckets
            if bucket.neighbours
        }

    @property
    def variables(self) -> tuple[int, ...]:
        """In the order in which they go."""
        return tuple(bucket.variable for bucket in self.buckets)

    def left(self, scope: Iterable[int]) -> Scope:
        """The variables of `scope` that are not held, in the order in which they go."""
        return tuple(sorted((v for v in scope if v in self._place), key=self._place.__getitem__))

    def entries(self, sizes: Sequence[int]) -> float:
        """Entries of all tables together, when variable v has `sizes[v]` values."""
        return sum(math.prod(float(sizes[v]) for v in bucket.scope) for bucket in self.buckets)

    def tables(self, unary: Mapping[int, Table], shared: Sequence[Table]) -> dict[int, Table]:
        """Each bucket's sum, with what earlier buckets left to it.

        Args:
            unary: Variable -> shape `(values,)`.
            shared: For each of `scopes` a table with one axis per variable; may hold infinity.

        Returns:
            Variable -> one axis per entry of its bucket's scope.
        """
        parts: dict[int, list[Table]] = {variable: [] for variable in self._scopes}
        for scope, index, table in zip(self.scopes, self._index, shared, strict=True):
            parts[scope[0]].append(table[index])
        tables: dict[int, Table] = {}
        for bucket in self.buckets:
            variable = bucket.variable
            total = unary[variable].reshape(-1, *[1] * len(bucket.neighbours))
            for part in parts[variable]:
                total = total + part
            tables[variable] = total
            if bucket.neighbours:
                parts[bucket.neighbours[0]].append(total.min(axis=0)[self._parent_index[variable]])
        return tables

    def minimum(self, tables: Mapping[int, Table]) -> float:
        """The least value of the whole sum."""
        return sum(float(tables[bucket.variable].min()) for bucket in self.buckets if not bucket.neighbours)

    def choices(self, tables: Mapping[int, Table]) -> dict[int, int]:
        """The values at which the whole sum is least; the first ones where several are."""
        chosen: dict[int, int] = {}
        for bucket in reversed(self.buckets):
            row: tuple[slice | int, ...] = (slice(None), *[chosen[n] for n in bucket.neighbours])
            chosen[bucket.variable] = int(tables[bucket.variable][row].argmin())
        return chosen

    def marginals(self, tables: Mapping[int, Table]) -> dict[int, Table]:
        """The least value of the whole sum for every entry of every table."""
        beliefs: dict[int, Table] = {}
        total = self.minimum(tables)
        for bucket in reversed(self.buckets):
            table = tables[bucket.variable]
            if bucket.neighbours:
                parent = bucket.neighbours[0]
                others = tuple(i for i, v in enumerate(self._scopes[parent]) if v not in bucket.neighbours)
                own = table.min(axis=0)
                around = beliefs[parent].min(axis=others) if others else beliefs[parent]
                # Where no value of this variable fits (infinity), the entry is infinite whatever is around it.
                table = table + np.subtract(around, own, out=np.zeros_like(own), where=np.isfinite(own))
            else:
                table = table + (total - table.min())  # the other connected parts
            beliefs[bucket.variable] = table
        return beliefs


def _broadcast(axes: Sequence[int], scope: Sequence[int]) -> _Index:
    """Turns a table over `axes` into one that broadcasts over `scope`; both in elimination order."""
    return tuple(slice(None) if variable in axes else None for variable in scope)
