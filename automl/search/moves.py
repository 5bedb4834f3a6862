"""Moves within the budget: what the Lagrangian leaves over is filled, and exchanged where that helps."""

import itertools

import numpy as np
from numpy.typing import NDArray

from automl.search.forms import Forms
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
        """Lowers, each time, the variable that loses least for what it brings."""
        index = index.copy()
        while True:
            values = self._values[self._starts + index]
            over = self._knapsack.costs(values) - self._knapsack.allowed
            if (over <= 0).all():
                return index
            broken = over > 0
            saved = np.minimum(-self.changes(values)[broken], over[broken][:, None])
            progress = (saved / over[broken][:, None]).sum(axis=0)
            possible = self._kept & (self._values < values[self._variable]) & (progress > 0)
            if not possible.any():
                return None
            lost = self._losses - self._losses[self._starts + index][self._variable]
            price = np.divide(lost, progress, out=np.full_like(lost, np.inf), where=possible)
            self._take(index, int(price.argmin()))

    def _filled(self, index: Index) -> Index:
        """Raises, each time, the variable that gains most for its share of what is left, until nothing fits."""
        index = index.copy()
        while True:
            values = self._values[self._starts + index]
            slack = self._knapsack.allowed - self._knapsack.costs(values)
            changes = self.changes(values)
            fits = (changes <= slack[:, None]).all(axis=0) & (self._values > values[self._variable])
            fits &= (values > 0)[self._variable]
            if not fits.any():
                return index
            share = (changes / np.maximum(slack, 1e-300)[:, None]).max(axis=0)
            gain = self._losses[self._starts + index][self._variable] - self._losses
            worth = np.divide(gain, np.maximum(share, 1e-12), out=np.full_like(gain, -np.inf), where=fits)
            self._take(index, int(worth.argmax()))

    def _take(self, index: Index, entry: int) -> None:
        index[self._variable[entry]] = self._level[entry]

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
        forms, widths = self._knapsack.forms_at(values), values[:groups]
        first = np.repeat(np.arange(groups), len(_STEPS))
        level = np.clip(index[:groups, None] + np.array(_STEPS), 0, self._sizes[:groups, None] - 1).ravel()
        entry = self._starts[first] + level
        change = self._width_changes(forms, widths)[:, entry]  # [limits, moves]
        room = (self._knapsack.allowed - self._knapsack.costs(values))[:, None] - change
        steps = (self._values[entry] - widths[first])[:, None]
        slopes = forms.slopes(widths)[:, None] + forms.products[:, first] * steps
        reach = widths + _largest_step(slopes, forms.squares[:, None], widths, room[:, :, None]).min(axis=0)
        second = np.empty(reach.shape, dtype=np.int64)  # [moves, groups]
        for group, row in enumerate(self._knapsack.values[:groups]):
            second[:, group] = np.searchsorted(row, reach[:, group] + 1e-9, side="right") - 1
        other_entry = self._starts[:groups] + second
        allowed = (second >= 0) & self._kept[other_entry] & (widths > 0)
        allowed &= (first[:, None] != np.arange(groups)) & (self._kept[entry] & (widths[first] > 0))[:, None]
        now = self._losses[self._starts[:groups] + index[:groups]]
        total = (self._losses[entry] - now[first])[:, None] + self._losses[other_entry] - now
        best, other = np.unravel_index(int(np.where(allowed, total, np.inf).argmin()), total.shape)
        exchanged = index.copy()
        exchanged[first[best]], exchanged[other] = level[best], second[best, other]
        return exchanged

    def changes(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape `(limits, entries)`: what each entry would add to the cost of `values`, alone."""
        groups, terms = self._knapsack.groups, self._knapsack.terms
        of_widths = self._width_changes(self._knapsack.forms_at(values), values[:groups])
        if terms is None:
            return of_widths
        variable = self._variable[self._of_widths :] - groups
        counts = terms.counts[:, variable, self._values[self._of_widths :].astype(np.int64)]
        of_bits = terms.slopes(values)[:, variable] * (counts - terms.now(values)[:, variable])
        return np.concatenate([of_widths, of_bits], axis=1)

    def _width_changes(self, forms: Forms, widths: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same of the entries of widths."""
        variable, values = self._variable[: self._of_widths], self._values[: self._of_widths]
        now = widths[variable]
        slopes = forms.slopes(widths)[:, variable]
        return np.asarray((slopes + forms.squares[:, variable] * (values + now)) * (values - now))


def _largest_step(
    slopes: NDArray[np.float64], squares: NDArray[np.float64], widths: NDArray[np.float64], room: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The largest d with `slopes d + squares ((widths + d)^2 - widths^2) <= room`; all broadcast."""
    tangent = slopes + 2 * squares * widths
    root = np.sqrt(np.maximum(tangent**2 + 4 * squares * room, 0.0))
    cost = tangent + root  # the form of the solution that does not cancel
    free = np.where(room < 0, -np.inf, np.inf) + np.zeros_like(cost)  # where widening costs nothing, and saves nothing
    return np.asarray(np.divide(2 * room, cost, out=free, where=cost > 0), dtype=np.float64)
