"""Moves within the budget: what the Lagrangian leaves over is filled, and exchanged where that helps."""

import itertools

import numpy as np
from numpy.typing import NDArray

from automl.search.knapsack import Knapsack, Losses

_STEPS = (-4, -2, -1, 1, 2, 4)
_MOST_EXCHANGES = 20
_LEAST_GAIN = 1e-12
"""Of the loss; less is rounding."""

Index = NDArray[np.int64]


class Moves:
    """Widens and narrows single groups and pairs; branches that are dropped stay dropped, and no other is."""

    def __init__(self, knapsack: Knapsack, losses: Losses) -> None:
        """Lays the widths and losses out as matrices, `[groups, most levels]`."""
        self._knapsack = knapsack
        self._sizes = np.array(knapsack.sizes)
        shape = (len(self._sizes), int(self._sizes.max()))
        self._groups = np.arange(shape[0])
        self._widths, self._losses = np.zeros(shape), np.zeros(shape)
        for group, (widths, row) in enumerate(zip(knapsack.widths, losses, strict=True)):
            self._widths[group, : len(widths)] = widths
            self._losses[group, : len(row)] = row
        self._kept = self._widths > 0  # a level that is there and drops nothing

    def loss(self, index: Index) -> float:
        """The sum of the losses."""
        return float(self._losses[self._groups, index].sum())

    def repaired(self, index: Index) -> Index | None:
        """`index` within every limit, filled and exchanged; None where narrowing alone does not get there."""
        feasible = self._shrunk(index)
        return None if feasible is None else self._exchanged(self._filled(feasible))

    def kicked(self, index: Index) -> Index:
        """Moves each group one level by force and repairs the others around it, where the sum of the losses falls."""
        loss = self.loss(index)
        for group, step in itertools.product(range(len(index)), (-1, 1)):
            level = int(index[group]) + step
            if index[group] == 0 > step or level == self._sizes[group]:
                continue
            if not (self._kept[group, index[group]] and self._kept[group, level]):
                continue
            moved = index.copy()
            moved[group] = level
            feasible = self._shrunk(moved)
            filled = None if feasible is None else self._filled(feasible)
            if filled is not None and self.loss(filled) < loss * (1 - _LEAST_GAIN):
                index, loss = filled, self.loss(filled)
        return index

    def _shrunk(self, index: Index) -> Index | None:
        """Narrows, each time, the group that loses least for what it brings."""
        index = index.copy()
        while True:
            widths = self._widths[self._groups, index]
            over = self._knapsack.costs(widths) - self._knapsack.allowed
            if (over <= 0).all():
                return index
            broken = over > 0
            saved = np.minimum(-self._changes(widths)[broken], over[broken][:, None, None])
            progress = (saved / over[broken][:, None, None]).sum(axis=0)
            possible = self._kept & (self._widths < widths[:, None]) & (progress > 0)
            if not possible.any():
                return None
            lost = self._losses - self._losses[self._groups, index][:, None]
            price = np.divide(lost, progress, out=np.full_like(lost, np.inf), where=possible)
            group, level = np.unravel_index(int(price.argmin()), price.shape)
            index[group] = level

    def _filled(self, index: Index) -> Index:
        """Widens, each time, the group that gains most for its share of what is left, until nothing fits."""
        index = index.copy()
        while True:
            widths = self._widths[self._groups, index]
            slack = self._knapsack.allowed - self._knapsack.costs(widths)
            changes = self._changes(widths)
            fits = (changes <= slack[:, None, None]).all(axis=0) & (self._widths > widths[:, None])
            fits &= (widths > 0)[:, None]
            if not fits.any():
                return index
            share = (changes / np.maximum(slack, 1e-300)[:, None, None]).max(axis=0)
            gain = self._losses[self._groups, index][:, None] - self._losses
            worth = np.divide(gain, np.maximum(share, 1e-12), out=np.full_like(gain, -np.inf), where=fits)
            group, level = np.unravel_index(int(worth.argmax()), worth.shape)
            index[group] = level

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
        """One group a few levels wider or narrower, and another as wide as the limits then allow."""
        widths = self._widths[self._groups, index]
        first = np.repeat(self._groups, len(_STEPS))
        level = np.clip(index[:, None] + np.array(_STEPS), 0, self._sizes[:, None] - 1).ravel()
        moved = self._widths[first, level]
        change = self._changes(widths)[:, first, level]  # [limits, moves]
        room = (self._knapsack.allowed - self._knapsack.costs(widths))[:, None] - change
        slopes = self._slopes(widths)[:, None] + self._knapsack.products[:, first] * (moved - widths[first])[:, None]
        reach = widths + _largest_step(slopes, self._knapsack.squares[:, None], widths, room[:, :, None]).min(axis=0)
        second = np.empty(reach.shape, dtype=np.int64)  # [moves, groups]
        for group, row in enumerate(self._knapsack.widths):
            second[:, group] = np.searchsorted(row, reach[:, group] + 1e-9, side="right") - 1
        allowed = (second >= 0) & self._kept[self._groups, second] & (widths > 0)
        allowed &= (first[:, None] != self._groups) & (self._kept[first, level] & (widths[first] > 0))[:, None]
        now = self._losses[self._groups, index]
        total = (self._losses[first, level] - now[first])[:, None] + self._losses[self._groups, second] - now
        best, other = np.unravel_index(int(np.where(allowed, total, np.inf).argmin()), total.shape)
        exchanged = index.copy()
        exchanged[first[best]], exchanged[other] = level[best], second[best, other]
        return exchanged

    def _slopes(self, widths: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape `(limits, groups)`: cost per channel of each group, its own square left out."""
        return np.asarray(self._knapsack.linear + self._knapsack.products @ widths, dtype=np.float64)

    def _changes(self, widths: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape `(limits, groups, levels)`: what each level of one group would add to the cost of `widths`."""
        steps = self._widths - widths[:, None]
        sums = self._widths + widths[:, None]
        return np.asarray((self._slopes(widths)[:, :, None] + self._knapsack.squares[:, :, None] * sums) * steps)


def _largest_step(
    slopes: NDArray[np.float64], squares: NDArray[np.float64], widths: NDArray[np.float64], room: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The largest d with `slopes d + squares ((widths + d)^2 - widths^2) <= room`; all broadcast."""
    tangent = slopes + 2 * squares * widths
    root = np.sqrt(np.maximum(tangent**2 + 4 * squares * room, 0.0))
    cost = tangent + root  # the form of the solution that does not cancel
    free = np.where(room < 0, -np.inf, np.inf) + np.zeros_like(cost)  # where widening costs nothing, and saves nothing
    return np.asarray(np.divide(2 * room, cost, out=free, where=cost > 0), dtype=np.float64)
