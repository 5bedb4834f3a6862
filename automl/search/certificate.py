"""The certified optimum of the sensitivity table within the budget: the best choice, and what no choice can beat.

The Lagrangian at its best prices bounds every choice from below, and so do its min-marginals for every value of a
variable and every entry of a table. Those that cannot be in a better choice than the incumbent go (reduced-cost
fixing); what is left is a mixed-integer program on the tree of the elimination, small and exact, for HiGHS.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.core.budget import Budget
from automl.core.cost import Cost, CostModel
from automl.core.errors import InputError
from automl.core.knob import Knob
from automl.core.sensitivity import SensitivityTable
from automl.search.intervals import Intervals
from automl.search.knapsack import Knapsack, Losses, normalised
from automl.search.lagrangian import Lagrangian
from automl.search.moves import Moves
from automl.search.prices import Dual, PriceSearch
from automl.search.remainder import MOST_COLUMNS, Remainder

Values = NDArray[np.int64]

_OPTIMAL_GAP = 1e-6
"""Share of the loss; HiGHS answers to about this."""
_TOLERANCE = 1e-9
_ROUNDS = 60
_SAFETY = 1e-9
"""Share of the loss by which a value must be too bad before it goes; more than rounding adds up to."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The best choice that was found, and how much better any could be."""

    loss: float
    """Sum of the table's losses at `values`, in nats."""
    lower_bound: float
    """No values within the budget have a smaller sum."""
    gap: float
    """`loss / lower_bound - 1`; infinity where only 0 bounds a loss above it."""
    values: Values
    """Shape `(knobs,)`: channels kept, then bits; they meet every limit."""
    seconds: float
    """Wall time."""
    optimal: bool
    """Whether the gap is closed, up to a millionth."""


def certify(
    knobs: Sequence[Knob],
    table: SensitivityTable,
    cost_model: CostModel,
    budget: Budget,
    dense: Cost,
    incumbent: Values,
    time_limit_s: float = 5.0,
) -> Certificate:
    """Improves `incumbent` to the optimum and proves it, as far as the time allows.

    Args:
        knobs: One per prunable group, in the order of `cost_model.graph.prunable`; then those of the bits.
        table: Losses of the knobs' choices.
        cost_model: Prices widths and bits.
        budget: Every limit of it holds.
        dense: Cost of the uncompressed network, which relative limits refer to.
        incumbent: Shape `(knobs,)`: values to start from, such as `Solver.solve` gives.
        time_limit_s: No new step starts after it.

    Raises:
        BudgetError: If even the smallest values break a limit.
        InputError: If the table is not about these knobs, or the incumbent breaks a limit.
    """
    knapsack = Knapsack.of(knobs, cost_model, budget, dense)
    shares, total = normalised(knapsack.losses(table, knobs))
    proof = _Proof(knapsack, shares, knapsack.index(incumbent), time_limit_s)
    proof.run()
    values = knapsack.at(proof.index).astype(np.int64)
    loss = table.loss(dict(zip(table.knobs, values.tolist(), strict=True)))
    bound = min(loss, proof.bound * total)
    return Certificate(
        loss=loss,
        lower_bound=bound,
        gap=loss / bound - 1.0 if bound > 0 else (0.0 if loss == 0 else float("inf")),
        values=values,
        seconds=proof.elapsed,
        optimal=proof.closed,
    )


class _Proof:
    """The incumbent and the lower bound, as they approach each other."""

    def __init__(self, knapsack: Knapsack, losses: Losses, index: NDArray[np.int64], time_limit_s: float) -> None:
        self._started = time.perf_counter()
        self._limit_s = time_limit_s
        self._knapsack = knapsack
        self._losses = losses
        self._moves = Moves(knapsack, losses)
        if not knapsack.fits(index):
            raise InputError("The incumbent must meet every limit, but it does not. Take the solver's values.")
        self.index = index
        self.loss = self._moves.loss(index)
        self.bound = sum(float(row.min()) for row in losses)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    @property
    def closed(self) -> bool:
        """Whether nothing is left to prove."""
        return self.loss - self.bound <= _OPTIMAL_GAP * self.loss

    def run(self) -> None:
        """Bounds intervals of values, discards and halves them until single values are left, and solves those."""
        lagrangian = Lagrangian(self._knapsack, self._knapsack.sizes, np.inf)
        intervals: Intervals | None = Intervals.of(self._knapsack, lagrangian.entries)
        start: NDArray[np.float64] | None = None
        while intervals is not None and self.elapsed < self._limit_s:
            menu = intervals.menu(self._knapsack, self._losses)
            search = PriceSearch(self._knapsack, lagrangian, self._losses)
            dual = search.climb(menu, start, _TOLERANCE, _ROUNDS, self._started + self._limit_s)
            start = dual.prices
            self.bound = max(self.bound, dual.bound)
            self._improve(dual)
            if self.closed:
                return
            remainder = Remainder.of(self._knapsack, lagrangian, menu, start, self.loss * (1 + _SAFETY))
            if intervals.single:
                self._finish(remainder)
                return
            intervals = intervals.split(remainder.levels, lagrangian.entries)

    def _finish(self, remainder: Remainder) -> None:
        left_s = self._limit_s - self.elapsed
        if remainder.columns > MOST_COLUMNS or left_s <= 0:
            return
        bound, index = remainder.solve(left_s)
        self.bound = max(self.bound, bound)
        if index is not None:
            self.offer(index)

    def offer(self, index: NDArray[np.int64]) -> None:
        """Takes `index`, repaired where it must be, if it is better."""
        found = index if self._knapsack.fits(index) else self._moves.repaired(index)
        if found is not None and self._moves.loss(found) < self.loss:
            self.index, self.loss = found, self._moves.loss(found)

    def _improve(self, dual: Dual) -> None:
        for point in dual.support():
            repaired = self._moves.repaired(point.index)
            if repaired is not None:
                self.offer(repaired)
