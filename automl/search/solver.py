"""The decoder: from a sensitivity table to the widths and bits that lose least within the budget, in milliseconds.

The Lagrangian of the budget is minimised exactly by variable elimination (on a chain, Viterbi) on a few widths per
group, first coarse, then finer around what was found; its prices come from cutting planes. What the best prices leave
of the budget is filled and exchanged. Multipliers on the table span the search (SPDY, Frantar & Alistarh 2022): every
proposal is on budget.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from automl.core.budget import Budget
from automl.core.cost import Cost, CostModel
from automl.core.knob import Knob
from automl.core.sensitivity import SensitivityTable, multipliers
from automl.search.knapsack import Knapsack, Losses, normalised
from automl.search.lagrangian import Lagrangian, Menu
from automl.search.moves import Index, Moves
from automl.search.prices import Dual, PriceSearch

Values = NDArray[np.int64]

_LEVELS = 12
"""Widths per group in one menu."""
_MOST_ENTRIES = 1 << 14
"""Of one table over such menus; four groups that share layers."""
_WORTH_A_KICK = 2e-3
"""Share of the bound that the loss must be above it; the kicks take as long as the rest."""
_TOLERANCES = (1e-2, 1e-3)
"""Of the prices on the coarse menu and on finer ones."""
_ROUNDS = (16, 8)
"""Most minimisations on these."""


class Solver:
    """Maps multipliers of the sensitivity table to values within every limit; the same ones give the same values."""

    def __init__(
        self, knobs: Sequence[Knob], table: SensitivityTable, cost_model: CostModel, budget: Budget, dense: Cost
    ) -> None:
        """Plans the elimination and finds the prices at which all multipliers are 1.

        Args:
            knobs: One per prunable group, in the order of `cost_model.graph.prunable`; then those of the bits.
            table: Losses of the knobs' choices.
            cost_model: Prices widths and bits.
            budget: Every limit of it holds for each result.
            dense: Cost of the uncompressed network, which relative limits refer to.

        Raises:
            BudgetError: If even the smallest values break a limit.
            InputError: If the table is not about these knobs.
        """
        self._knapsack = Knapsack.of(knobs, cost_model, budget, dense)
        self._losses = self._knapsack.losses(table, knobs)
        sizes = [min(size, _LEVELS) for size in self._knapsack.sizes]
        self._lagrangian = Lagrangian(self._knapsack, sizes, _MOST_ENTRIES)
        self._coarse = [_coarse(values) for values in self._knapsack.values]
        self._refinements = _refinements(self._coarse)
        self._start: NDArray[np.float64] | None = None
        if not self._knapsack.fits(self._knapsack.largest):
            self._start = self._decoded(normalised(self._losses)[0])[1]

    def solve(self, log_multipliers: NDArray[np.float64]) -> Values:
        """The values that lose least within the budget, nearly, when each knob's losses are multiplied.

        Args:
            log_multipliers: Shape `(knobs,)`: natural logarithms of the multipliers; 0 is the table itself. Bounded as
                `SensitivityTable.multiplied` says.

        Returns:
            Shape `(knobs,)`: channels kept, 0 for dropped branches and what they alone read; then bits, the most for
            layers that went with their branch.
        """
        index = self._knapsack.largest
        if not self._knapsack.fits(index):
            factors = multipliers(log_multipliers)
            losses = tuple(row * factor for row, factor in zip(self._losses, factors, strict=True))
            index, _ = self._decoded(normalised(losses)[0])
        return self._knapsack.at(index).astype(np.int64)

    def _decoded(self, losses: Losses) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The best choice found, and the prices that led to it."""
        search = PriceSearch(self._knapsack, self._lagrangian, losses)
        levels = self._coarse
        dual = search.climb(Menu.of(self._knapsack, losses, levels), self._start, _TOLERANCES[0], _ROUNDS[0])
        for _ in range(self._refinements):
            found = [point.index for point in dual.support()]
            levels = [self._around(variable, row, found) for variable, row in enumerate(levels)]
            dual = search.climb(Menu.of(self._knapsack, losses, levels), dual.prices, _TOLERANCES[1], _ROUNDS[1])
        return self._best(dual, losses), dual.prices

    def _around(self, variable: int, levels: Index, found: Sequence[Index]) -> Index:
        """Finer levels between the neighbours of those that were found; a dropped branch always stays among them."""
        if variable >= self._knapsack.groups:
            return levels  # all bits are there from the start
        finer = {0} if self._knapsack.values[variable][0] == 0 else set()
        row = levels.tolist()
        for level in {int(index[variable]) for index in found}:
            at = bisect_left(row, level)
            low, high = row[max(at - 1, 0)], row[min(at + 1, len(row) - 1)]
            finer.update(range(low, high, -(-(high - low) // _LEVELS) or 1), (level, high))
        return np.array(sorted(finer), dtype=np.int64)

    def _best(self, dual: Dual, losses: Losses) -> NDArray[np.int64]:
        """The least loss among the repaired choices at the top of the dual."""
        moves = Moves(self._knapsack, losses)
        feasible = [point for point in dual.points if point.feasible]
        promising = [*dual.support(), *sorted(feasible, key=lambda point: point.loss)[:1]]
        starts = {point.index.tobytes(): point.index for point in promising}
        repaired = [index for index in map(moves.repaired, starts.values()) if index is not None]
        best = min(repaired, key=moves.loss, default=self._knapsack.smallest)
        if moves.loss(best) <= dual.bound * (1 + _WORTH_A_KICK):
            return best
        return moves.kicked(best, dual.prices / self._knapsack.allowed, dual.bound)


def _coarse(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Positions of about `_LEVELS` of `values`, from the least to the whole, each wider by about one factor."""
    if len(values) <= _LEVELS:
        return np.arange(len(values))
    positive = values[values > 0]
    wanted = np.geomspace(positive[0], positive[-1], _LEVELS)
    nearest = np.abs(values[None] - wanted[:, None]).argmin(axis=1)
    return np.unique(np.append(nearest, 0)).astype(np.int64)


def _refinements(levels: Sequence[NDArray[np.int64]]) -> int:
    """How often the menu must be made finer until each group is at single widths: twice a gap becomes `_LEVELS`."""
    gap = max(int(np.diff(row).max(initial=1)) for row in levels)
    return 0 if gap == 1 else math.ceil(math.log(gap, _LEVELS / 2)) + 1
