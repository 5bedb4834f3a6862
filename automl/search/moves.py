"""Moves within the budget: what the Lagrangian leaves over is filled, and exchanged where that helps."""

import itertools

import numpy as np
from numpy.typing import NDArray

from automl.search.forms import Forms, own_costs, side_by_side
from automl.search.knapsack import Knapsack, Losses

_STEPS = (-4, -2, -1, 1, 2, 4)
_MOST_EXCHANGES = 20
_LEAST_GAIN = 1e-12
"""Of the loss; less is rounding."""

Index = NDArray[np.int64]


class Moves:
    """Raises and lowers single values and pairs; branches that are dropped stay dropped, and no other is."""

    def __init__(self, knapsack: Knapsack, losses: Losses) -> None:
        """Lays the values and losses of all variables out in one row of entries."""
        self._knapsack = knapsack
        self._sizes = np.array(knapsack.sizes)
        self._starts = np.concatenate([[0], np.cumsum(self._sizes)[:-1]])
        self._variable = np.repeat(np.arange(len(self._sizes)), self._sizes)  # [entries]
        self._level = np.arange(len(self._variable)) - self._starts[self._variable]
        self._values, self._losses = np.concatenate(knapsack.values), np.concatenate(losses)
        self._kept = self._values > 0  # an entry that drops nothing
        self._of_widths = int(self._sizes[: knapsack.groups].sum())
        self._seen = side_by_side(knapsack.seen)
        self._bit_variable = self._variable[self._of_widths :] - knapsack.groups
        if knapsack.terms is not None:
            bits = self._values[self._of_widths :].astype(np.int64)
            self._counts = knapsack.terms.counts[:, self._bit_variable, bits]  # [limits, entries of bits]

    def loss(self, index: Index) -> float:
        """The sum of the losses."""
        return float(self._losses[self._starts + index].sum())

    def repaired(self, index: Index) -> Index | None:
        """`index` within every limit, filled and exchanged; None where narrowing alone does not get there."""
        feasible = self._shrunk(index)
        return None if feasible is None else self._exchanged(self._filled(feasible))

    def kicked(self, index: Index, prices: NDArray[np.float64], bound: float) -> Index:
        """Moves each variable a level by force and repairs the others around it, where the sum of the losses falls.

        Args:
            index: Within every limit.
            prices: Shape `(limits,)`: loss per unit of cost.
            bound: No choice loses less. Bits that cost more than what is left to it, at these prices, stay.
        """
        loss = self.loss(index)
        tried = self._reduced(index, prices) <= loss - bound
        for variable, step in itertools.product(range(len(index)), (-1, 1)):
            level = int(index[variable]) + step
            if not 0 <= level < self._sizes[variable]:
                continue
            entry = self._starts[variable] + level
            if not (self._kept[[self._starts[variable] + index[variable], entry]].all() and tried[entry]):
                continue
            moved = index.copy()
            moved[variable] = level
            feasible = self._shrunk(moved)
            filled = None if feasible is None else self._filled(feasible)
            if filled is not None and self.loss(filled) < loss * (1 - _LEAST_GAIN):
                index, loss = filled, self.loss(filled)
        return index

    def _reduced(self, index: Index, prices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape `(entries,)`: what each entry of bits would add to the priced sum, alone; -infinity for widths."""
        values = self._values[self._starts + index]
        added = self._losses - self._losses[self._starts + index][self._variable] + prices @ self.changes(values)
        added[: self._of_widths] = -np.inf
        return added

    def _shrunk(self, index: Index) -> Index | None:
        """Lowers, each time, the variable that loses least for what it brings; no limit gets worse meanwhile.

        Where more channels cost less, it raises.
        """
        index = index.copy()
        costs = self._knapsack.costs(self._values[self._starts + index])
        while (broken := costs > self._knapsack.allowed).any():
            values = self._values[self._starts + index]
            over, changes = costs - self._knapsack.allowed, self.changes(values)
            saved = np.minimum(-changes[broken], over[broken][:, None])
            progress = (saved / over[broken][:, None]).sum(axis=0)
            possible = self._kept & (values > 0)[self._variable] & (progress > 0)
            possible &= np.all(changes <= np.maximum(-over, 0.0)[:, None], axis=0)
            if not possible.any():
                return None
            lost = self._losses - self._losses[self._starts + index][self._variable]
            price = np.divide(lost, progress, out=np.full_like(lost, np.inf), where=possible)
            costs = costs + self._take(index, int(price.argmin()), changes)
        return index

    def _filled(self, index: Index) -> Index:
        """Raises, each time, the variable that gains most for its share of what is left, until nothing fits."""
        index = index.copy()
        costs = self._knapsack.costs(self._values[self._starts + index])
        while True:
            values = self._values[self._starts + index]
            slack, changes = self._knapsack.allowed - costs, self.changes(values)
            fits = np.all(changes <= slack[:, None], axis=0) & (self._values > values[self._variable])
            fits &= (values > 0)[self._variable]
            if not fits.any():
                return index
            share = (changes / np.maximum(slack, 1e-300)[:, None]).max(axis=0)
            gain = self._losses[self._starts + index][self._variable] - self._losses
            worth = np.divide(gain, np.maximum(share, 1e-12), out=np.full_like(gain, -np.inf), where=fits)
            costs = costs + self._take(index, int(worth.argmax()), changes)

    def _take(self, index: Index, entry: int, changes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Puts the entry into `index`, and returns what that adds to the costs: exactly, as costs are exact."""
        index[self._variable[entry]] = self._level[entry]
        return changes[:, entry]

    def _exchanged(self, index: Index) -> Index:
        """Moves two groups at once and fills again, as long as the sum of the losses falls."""
        loss = self.loss(index)
        for _ in range(_MOST_EXCHANGES):
            exchanged = self._best_exchange(index)
            if (self._knapsack.costs(self._knapsack.at(exchanged)) > self._knapsack.allowed).any():
                return index
            exchanged = self._filled(exchanged)
            reached = self.loss(exchanged)
            if reached >= loss * (1 - _LEAST_GAIN):
                return index
            index, loss = exchanged, reached
        return index

    def _best_exchange(self, index: Index) -> Index:
        """One group a few levels wider or narrower, and another as wide as the limits then allow; bits stay."""
        groups = self._knapsack.groups
        values = self._values[self._starts + index]
        widths = values[:groups]
        first = np.repeat(np.arange(groups), len(_STEPS))
        level = np.clip(index[:groups, None] + np.array(_STEPS), 0, self._sizes[:groups, None] - 1).ravel()
        entry = self._starts[first] + level
        second = self._widest(index, first, entry)  # [moves, groups]
        other_entry = self._starts[:groups] + second
        allowed = (second >= 0) & self._kept[other_entry] & (widths > 0)
        allowed &= (first[:, None] != np.arange(groups)) & (self._kept[entry] & (widths[first] > 0))[:, None]
        now = self._losses[self._starts[:groups] + index[:groups]]
        total = (self._losses[entry] - now[first])[:, None] + self._losses[other_entry] - now
        best, other = np.unravel_index(int(np.where(allowed, total, np.inf).argmin()), total.shape)
        exchanged = index.copy()
        exchanged[first[best]], exchanged[other] = level[best], second[best, other]
        return exchanged

    def _widest(self, index: Index, first: Index, entry: NDArray[np.int64]) -> NDArray[np.int64]:
        """The widest level of each group that fits after each move; any level below it may cost more.

        Args:
            index: Where the moves start.
            first: Shape `(moves,)`: the group that moves, as many moves of one after the other.
            entry: Shape `(moves,)`: the entry that it moves to.

        Returns:
            Shape `(moves, groups)`; -1 where none fits.
        """
        values = self._values[self._starts + index]
        forms = self._knapsack.forms_at(values)
        changes = self._width_changes(values)
        room = (self._knapsack.allowed - self._knapsack.costs(values))[:, None] - changes[:, entry]  # [limits, moves]
        widest = self._widest_apart(changes, room)
        steps = self._seen[:, entry] - self._seen[:, (self._starts + index)[first]]  # [views, moves]
        self._turn_neighbours(widest, index, forms, changes, room, steps)
        return widest

    def _widest_apart(self, changes: NDArray[np.float64], room: NDArray[np.float64]) -> NDArray[np.int64]:
        """`_widest` for groups that share no product of costs with the one that moves."""
        groups, moves = self._knapsack.groups, room.shape[1]
        group, level = self._variable[: self._of_widths], self._level[: self._of_widths]
        widest = np.repeat(self._sizes[:groups, None], moves, axis=1)
        for change, left in zip(changes, room, strict=True):
            order = left.argsort()
            first = np.full((groups, moves + 1), -1)  # [groups, moves in the order of their room, and none]
            first[group, left[order].searchsorted(change)] = level  # of several entries the last, which is the widest
            widest[:, order] = np.minimum(widest[:, order], np.maximum.accumulate(first[:, :-1], axis=1))
        widest, starts = widest.T, self._starts[:groups]
        while True:  # what fits each limit may break another, where costs do not only grow
            broken = ((changes[:, starts + widest] > room[:, :, None]).any(axis=0)) & (widest >= 0)
            if not broken.any():
                return widest
            widest -= broken

    def _turn_neighbours(
        self,
        widest: NDArray[np.int64],
        index: Index,
        forms: Forms,
        changes: NDArray[np.float64],
        room: NDArray[np.float64],
        steps: NDArray[np.float64],
    ) -> None:
        """Puts `_widest` right for groups whose cost per channel the move changes, by trying each of their entries."""
        groups, limits = self._knapsack.groups, len(changes)
        a, b = np.nonzero((forms.by_group != 0).any(axis=(0, 1, 3)))
        if not len(a):
            return
        pair = np.repeat(np.arange(len(a)), self._sizes[b])  # [tries]
        begins = np.cumsum(self._sizes[b]) - self._sizes[b]
        level = np.arange(len(pair)) - begins[pair]
        tried = self._starts[b][pair] + level
        apart = self._seen[:, tried] - self._seen[:, (self._starts[:groups] + index[:groups])[b[pair]]]
        step = steps.reshape(len(steps), groups, -1)[:, a]  # [views, pairs, steps]
        turned = np.einsum("pljk,jps->lskp", forms.by_group[:, :, a, :, b], step)
        more = changes[:, None, tried] + np.einsum("lskt,kt->lst", turned[..., pair], apart)
        left = room.reshape(limits, groups, -1)[:, a].swapaxes(1, 2)  # [limits, steps, pairs]
        fits = np.all(more <= left[..., pair], axis=0)
        found = np.maximum.reduceat(np.where(fits, level, -1), begins, axis=1)  # [steps, pairs]
        widest.reshape(groups, -1, groups)[a, :, b] = found.T

    def changes(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape `(limits, entries)`: what each entry would add to the cost of `values`, alone."""
        of_widths, terms = self._width_changes(values), self._knapsack.terms
        if terms is None:
            return of_widths
        counted = self._counts - terms.now(values)[:, self._bit_variable]
        of_bits = terms.slopes(values)[:, self._bit_variable] * counted
        return np.concatenate([of_widths, of_bits], axis=1)

    def _width_changes(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same of the entries of widths."""
        forms, terms, groups = self._knapsack.forms, self._knapsack.terms, self._knapsack.groups
        seen, variable = forms.lifted(values[:groups]), self._variable[: self._of_widths]
        slopes, squares = forms.slopes(seen), forms.squares
        if terms is not None:
            of_bits = terms.of_widths(values)
            squares = squares.copy()
            slopes[:, 0] += of_bits[0]
            squares[:, 0, 0] += of_bits[1]
        costs = own_costs(slopes[..., variable], squares[..., variable], self._seen)
        return np.asarray(costs - own_costs(slopes, squares, seen)[:, variable], dtype=np.float64)
