"""Exact minimisation of a sum of small tables, by variable elimination.

Min-sum elimination (Bertele and Brioschi 1972; Dechter 1999): the variables go one by one, each leaving the minimum
over its values as a table over its neighbours. On a chain this is Viterbi; the stages of a ResNet need tables of three.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Edge = tuple[int, int]
Table = NDArray[np.float64]
_Index = tuple[slice | None, ...]


@dataclass(frozen=True, slots=True)
class Bucket:
    """One step: the variable that goes, and those that its minimum depends on."""

    variable: int
    neighbours: tuple[int, ...]
    """In the order in which they go themselves."""

    @property
    def scope(self) -> tuple[int, ...]:
        """The axes of this step's table."""
        return (self.variable, *self.neighbours)


def buckets(
    sizes: Sequence[int], edges: Iterable[Edge], cap: float = np.inf, spare: Collection[int] = ()
) -> tuple[Bucket, ...]:
    """Eliminates, each time, the variable with the smallest table.

    Args:
        sizes: Number of values of each variable.
        edges: Pairs of variables that share a table.
        cap: Most entries of one table; variables are left out, those with the most neighbours first, until none has
            more.
        spare: Variables to leave out before any other.

    Returns:
        One bucket per variable that is not left out.
    """
    logs = np.log(np.asarray(sizes, dtype=np.float64))
    adjacent = np.zeros((len(sizes), len(sizes)), dtype=bool)
    for a, b in edges:
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

    def __init__(self, steps: Sequence[Bucket], edges: Iterable[Edge]) -> None:
        """Places every edge between two variables of `steps`."""
        self.buckets = tuple(steps)
        place = {bucket.variable: index for index, bucket in enumerate(self.buckets)}
        oriented = {(a, b) if place[a] < place[b] else (b, a) for a, b in edges if a in place and b in place}
        self.edges: tuple[Edge, ...] = tuple(sorted(oriented))
        """The first of each pair goes first; the order that `tables` expects."""
        self._scopes = {bucket.variable: bucket.scope for bucket in self.buckets}
        self._edge_index = [_broadcast(edge, self._scopes[edge[0]]) for edge in self.edges]
        self._parent_index: dict[int, _Index] = {
            bucket.variable: _broadcast(bucket.neighbours, self._scopes[bucket.neighbours[0]])
            for bucket in self.buckets
            if bucket.neighbours
        }

    @property
    def variables(self) -> tuple[int, ...]:
        """In the order in which they go."""
        return tuple(bucket.variable for bucket in self.buckets)

    def entries(self, sizes: Sequence[int]) -> float:
        """Entries of all tables together, when variable v has `sizes[v]` values."""
        return sum(math.prod(float(sizes[v]) for v in bucket.scope) for bucket in self.buckets)

    def tables(self, unary: Mapping[int, Table], pairs: Sequence[Table]) -> dict[int, Table]:
        """Each bucket's sum, with what earlier buckets left to it.

        Args:
            unary: Variable -> shape `(values,)`.
            pairs: For each of `edges`, shape `(values of the first, values of the second)`; may hold infinity.

        Returns:
            Variable -> one axis per entry of its bucket's scope.
        """
        parts: dict[int, list[Table]] = {variable: [] for variable in self._scopes}
        for (first, _), index, pair in zip(self.edges, self._edge_index, pairs, strict=True):
            parts[first].append(pair[index])
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
