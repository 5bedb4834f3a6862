"""The projection: any proposal becomes the nearest policy that meets every budget after rounding.

AMC clips actions to the budget and rounds afterwards, so its "50%" network has 51.7% of the MACs (He et al. 2018,
released channel lists). Here the budget is enforced on the rounded widths, and what is left over is filled.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from automl.core.budget import METRICS, Budget
from automl.core.cost import Cost, CostModel
from automl.core.errors import BudgetError
from automl.core.graph import ChannelGroup

TARGET_USE = 0.98
"""A policy that uses this share of the tightest budget is left as it is."""
_BISECTIONS = 40

Widths = NDArray[np.int64]


class Projection:
    """Maps desired widths to widths that every budget allows; shared by solver, samplers and environment."""

    def __init__(
        self,
        choices: Sequence[Sequence[int]],
        cost_model: CostModel,
        budget: Budget,
        dense: Cost,
    ) -> None:
        """Checks that the budget can be met.

        Args:
            choices: For each group of `graph.prunable`, the widths allowed, ascending; 0 where it may be dropped.
            cost_model: Prices widths.
            budget: Every limit of it holds for each result.
            dense: Cost of the uncompressed network, which relative limits refer to.

        Raises:
            BudgetError: If even the smallest widths above 0 break a limit, or a limit is above the dense cost.
        """
        self._droppable = np.array([widths[0] == 0 for widths in choices], dtype=bool)
        self._goes_with = _goes_with(cost_model.graph.prunable)
        self._choices = [np.array([width for width in widths if width > 0], dtype=np.int64) for widths in choices]
        self._cost_model = cost_model
        self._columns = [METRICS.index(limit.metric) for limit in budget.limits]
        self._allowed = np.array([limit.absolute(dense) for limit in budget.limits])
        self._smallest = np.array([widths[0] for widths in self._choices], dtype=np.int64)
        self._largest = np.array([widths[-1] for widths in self._choices], dtype=np.int64)
        self._check(budget, dense)

    def __call__(self, desired: NDArray[np.float64]) -> Widths:
        """The widths nearest to `desired` that meet every budget.

        Widths that already meet it and use `TARGET_USE` of it come back unchanged, so projecting twice changes
        nothing. Else all are scaled by one factor, rounded, and the rest of the budget is filled. A branch is dropped
        where 0 itself is asked for, and nowhere else: what is above 0 is never rounded to 0, and nothing dropped
        comes back. So a proposal with dropped branches may leave more of the budget than others.

        Args:
            desired: Shape `(groups,)`: channels wanted, not necessarily whole, allowed or affordable.
        """
        gone = self._gone(desired)
        wanted = np.where(gone, 0.0, np.clip(np.nan_to_num(desired), 0.0, self._largest))
        nearest = self._rounded(wanted, gone)
        if TARGET_USE <= self.used(nearest[None])[0] <= 1.0:
            return nearest
        scaled = wanted * self._largest_scale(wanted, gone)
        widths = self._fill(self._rounded(scaled, gone), scaled)
        return self._exchange(widths)

    def used(self, widths: Widths) -> NDArray[np.float64]:
        """Share of the tightest budget that each row of `widths` takes; at most 1 where all are met."""
        costs = self._cost_model.table(widths)[:, self._columns]
        return np.asarray((costs / self._allowed).max(axis=1), dtype=np.float64)

    def _check(self, budget: Budget, dense: Cost) -> None:
        smallest = self._cost_model.table(self._smallest[None])[0, self._columns]
        for limit, allowed, least in zip(budget.limits, self._allowed, smallest, strict=True):
            full = limit.metric.of(dense)
            name = limit.metric.value
            if allowed > full:
                raise BudgetError(
                    f"A budget must not be above the dense cost, but {limit.text!r} allows {allowed:,.0f} {name} "
                    f"and the dense model has {full:,.0f}. Give at most 1{name}."
                )
            if least > allowed:
                reachable = np.ceil(least / full * 1e4) / 1e4
                raise BudgetError(
                    f"A budget must be reachable, but {limit.text!r} allows {allowed:,.0f} {name} and the smallest "
                    f"policy needs {least:,.0f}. The nearest reachable budget is {reachable:g}{name}."
                )

    def _gone(self, desired: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Groups that keep nothing: those whose drop is asked for, and those that only these branches read."""
        dropped = (desired == 0) & self._droppable
        return np.asarray(dropped | (dropped @ self._goes_with), dtype=bool)

    def _rounded(self, wanted: NDArray[np.float64], gone: NDArray[np.bool_]) -> Widths:
        nearest = [c[np.abs(c - want).argmin()] for c, want in zip(self._choices, wanted, strict=True)]
        return np.where(gone, 0, np.array(nearest, dtype=np.int64))

    def _largest_scale(self, wanted: NDArray[np.float64], gone: NDArray[np.bool_]) -> float:
        """The largest common factor whose rounded widths meet every budget (costs only grow with widths)."""
        positive = wanted[wanted > 0]
        low, high = 0.0, float((self._largest.max() / positive.min()) if positive.size else 1.0)
        if self.used(self._rounded(wanted * high, gone)[None])[0] <= 1.0:
            return high
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            if self.used(self._rounded(wanted * middle, gone)[None])[0] <= 1.0:
                low = middle
            else:
                high = middle
        return low

    def _fill(self, widths: Widths, scaled: NDArray[np.float64]) -> Widths:
        """Widens one group a step at a time, the one that rounding shortened most first, while budgets allow."""
        while True:
            wider = self._stepped(widths, up=True)  # [groups, groups]
            step = np.maximum(wider.diagonal() - widths, 1)
            fits = (wider.diagonal() > widths) & (self.used(wider) <= 1.0)
            if not fits.any():
                return widths
            shortfall = np.where(fits, (scaled - widths) / step, -np.inf)
            widths = wider[int(shortfall.argmax())]

    def _exchange(self, widths: Widths) -> Widths:
        """Narrows one group and widens another while that brings the use of the budget to `TARGET_USE`."""
        used = self.used(widths[None])[0]
        while used < TARGET_USE:
            narrower = np.unique(self._stepped(widths, up=False), axis=0)
            pairs = np.concatenate([self._stepped(row, up=True) for row in narrower])
            pair_used = self.used(pairs)
            pair_used[pair_used > 1.0] = 0.0
            best = int(pair_used.argmax())
            if pair_used[best] <= used:
                return widths
            widths, used = pairs[best], pair_used[best]
        return widths

    def _stepped(self, widths: Widths, *, up: bool) -> Widths:
        """Shape `(groups, groups)`: row g is `widths` with group g one choice wider (or narrower); 0 stays 0."""
        moved = np.repeat(widths[None], len(widths), axis=0)
        for group, choices in enumerate(self._choices):
            if widths[group] == 0:
                continue
            index = int(np.searchsorted(choices, widths[group])) + (1 if up else -1)
            moved[group, group] = choices[min(max(index, 0), len(choices) - 1)]
        return moved


def _goes_with(groups: Sequence[ChannelGroup]) -> NDArray[np.bool_]:
    """Shape `(groups, groups)`: whether the group of the column keeps nothing where that of the row is dropped."""
    return np.array([[other.name in group.drops for other in groups] for group in groups], dtype=bool)
