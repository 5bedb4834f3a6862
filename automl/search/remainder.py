"""What reduced-cost fixing leaves of the budgeted choice, as a mixed-integer program on the tree of the elimination."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, vstack

from automl.search.elimination import Bucket, Elimination
from automl.search.forms import own_costs
from automl.search.knapsack import Knapsack
from automl.search.lagrangian import Lagrangian, Menu

MOST_COLUMNS = 200_000
"""Of the program; more would not end in seconds."""
_OBJECTIVE = 1e3
"""What the incumbent's loss is scaled to: HiGHS has absolute tolerances of about 1e-7."""
_LIMIT = 1e3
"""What each limit is scaled to, for the same reason."""
_RELATIVE_GAP = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class Remainder:
    """The entries of the tables whose bound is no worse than the incumbent; a better choice has no other."""

    knapsack: Knapsack
    elimination: Elimination
    menu: Menu
    loss: float
    """Of the incumbent."""
    columns: int
    """Of the program: one per entry."""
    entries: dict[int, NDArray[np.int64]]
    """Variable -> shape `(entries, scope)`: positions in `menu`, by the axes of the variable's bucket; left out where
    there are more than `MOST_COLUMNS` in all."""
    levels: tuple[NDArray[np.bool_], ...]
    """For each variable, whether a better choice may have this level."""

    @classmethod
    def of(
        cls, knapsack: Knapsack, lagrangian: Lagrangian, menu: Menu, prices: NDArray[np.float64], loss: float
    ) -> "Remainder":
        """Bounds every entry by the Lagrangian at `prices` (loss per whole limit), and keeps those up to `loss`."""
        (block,) = lagrangian.blocks
        held = np.array([row[0] for row in menu.values])  # of the bits that cost the same whatever they are
        tables = lagrangian.tables(block, menu, prices / knapsack.allowed, held)
        fixed = float(prices @ (knapsack.forms.constant / knapsack.allowed - 1.0))
        left = {variable: bounds <= loss - fixed for variable, bounds in block.marginals(tables).items()}
        columns = sum(int(np.count_nonzero(rows)) for rows in left.values())
        entries = {v: np.argwhere(rows) for v, rows in left.items()} if columns <= MOST_COLUMNS else {}
        levels = tuple(np.asarray(left[v].reshape(len(row), -1).any(axis=1)) for v, row in enumerate(menu.values))
        return cls(knapsack, block, menu, loss, columns, entries, levels)

    def solve(self, time_limit_s: float) -> tuple[float, NDArray[np.int64] | None]:
        """The lowest loss of what is left, as HiGHS proves it.

        Returns:
            A lower bound on the loss of every choice better than the incumbent (infinity where there is none), and the
            best choice that was found, as positions in `Knapsack.values`.
        """
        losses, costs = self._contributions()
        scale = _OBJECTIVE / self.loss
        shares = (_LIMIT / self.knapsack.allowed)[:, None]
        most = _between(costs, self.knapsack.allowed - self.knapsack.forms.constant)
        rows, equal = self._consistency()
        found = milp(
            c=losses * scale,
            integrality=np.ones(self.columns, dtype=np.int64),
            bounds=Bounds(0.0, 1.0),
            constraints=[
                LinearConstraint(rows, equal, equal),
                LinearConstraint(costs * shares, -np.inf, most * shares[:, 0]),
            ],
            options={"time_limit": max(time_limit_s, 0.1), "mip_rel_gap": _RELATIVE_GAP},
        )
        if found.status == 2:  # infeasible
            return np.inf, None
        bound = -np.inf if found.mip_dual_bound is None else float(found.mip_dual_bound) / scale
        return bound, None if found.x is None else self._choice(found.x)

    def _contributions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Losses, of shape `(columns,)`, and costs, of shape `(limits, columns)`."""
        losses, costs = [], []
        for bucket in self.elimination.buckets:
            rows = self.entries[bucket.variable]
            losses.append(self.menu.losses[bucket.variable][rows[:, 0]])
            values = np.tile([row[0] for row in self.menu.values], (len(rows), 1))
            for axis, variable in enumerate(bucket.scope):
                values[:, variable] = self.menu.values[variable][rows[:, axis]]
            costs.append(self._costs_of_widths(bucket) + self._costs_of_bits(bucket, values))
        return np.concatenate(losses), np.concatenate(costs, axis=1)

    def _costs_of_widths(self, bucket: Bucket) -> NDArray[np.float64]:
        """Shape `(limits, rows)`: what the bucket's width costs, alone and with its neighbours, whatever the bits."""
        forms, groups = self.knapsack.forms, self.knapsack.groups
        if bucket.variable >= groups:
            return np.zeros((len(forms.constant), len(self.entries[bucket.variable])))
        rows = dict(zip(bucket.scope, self.entries[bucket.variable].T, strict=True))
        own = bucket.variable
        products = forms.by_group[:, :, own]  # [limits, views, views, groups]
        slopes = forms.linear[:, own::groups, None]
        for neighbour in bucket.neighbours:
            if neighbour < groups:
                slopes = slopes + products[..., neighbour] @ self.menu.seen[neighbour][:, rows[neighbour]]
        everywhere = np.full(len(rows[own]), own)
        return own_costs(slopes, forms.squares[..., everywhere], self.menu.seen[own][:, rows[own]])

    def _costs_of_bits(self, bucket: Bucket, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape `(limits, rows)`: the terms of which this bucket's variable is the first to go."""
        terms = self.knapsack.terms
        if terms is None:
            return np.zeros((len(self.knapsack.allowed), len(values)))
        here = [self.elimination.left(scope)[0] == bucket.variable for scope in terms.scopes]
        return terms.only(np.array(here, dtype=bool)).costs_of_rows(values)

    def _consistency(self) -> tuple[csr_array, NDArray[np.float64]]:
        """Rows and right-hand sides: each root takes one entry, and each bucket agrees with the one it leads to."""
        offsets = dict(zip(self.elimination.variables, np.cumsum([0, *map(len, self._ordered())]), strict=False))
        blocks: list[csr_array] = []
        sides: list[NDArray[np.float64]] = []
        for bucket in self.elimination.buckets:
            keys, columns, signs = self._agreement(bucket, offsets)
            distinct, row = np.unique(keys, return_inverse=True)
            blocks.append(csr_array((signs, (row.ravel(), columns)), shape=(len(distinct), self.columns)))
            sides.append(np.full(len(distinct), 0.0 if bucket.neighbours else 1.0))
        return csr_array(vstack(blocks)), np.concatenate(sides)

    def _agreement(
        self, bucket: Bucket, offsets: dict[int, int]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Key of the row, column and sign of every entry of this bucket, and of its parent's."""
        own = self.entries[bucket.variable]
        columns = offsets[bucket.variable] + np.arange(len(own))
        if not bucket.neighbours:
            return np.zeros(len(own), dtype=np.int64), columns, np.ones(len(own))
        parent = bucket.neighbours[0]
        scope = next(other.scope for other in self.elimination.buckets if other.variable == parent)
        above = self.entries[parent]
        sizes = [len(self.menu.values[v]) for v in bucket.neighbours]
        keys = [
            np.ravel_multi_index(own[:, 1:].T, sizes),
            np.ravel_multi_index(above[:, [scope.index(v) for v in bucket.neighbours]].T, sizes),
        ]
        return (
            np.concatenate(keys),
            np.concatenate([columns, offsets[parent] + np.arange(len(above))]),
            np.concatenate([np.ones(len(own)), -np.ones(len(above))]),
        )

    def _ordered(self) -> list[NDArray[np.int64]]:
        return [self.entries[variable] for variable in self.elimination.variables]

    def _choice(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        index = np.zeros(len(self.menu.values), dtype=np.int64)
        start = 0
        for variable, rows in zip(self.elimination.variables, self._ordered(), strict=True):
            best = int(values[start : start + len(rows)].argmax())
            index[variable] = self.menu.levels[variable][rows[best, 0]]
            start += len(rows)
        return index


def _between(costs: NDArray[np.float64], room: NDArray[np.float64]) -> NDArray[np.float64]:
    """Limits on sums of `costs` that allow the same choices as `room`, half a step away from each of them.

    Whole costs have sums in steps of their greatest common divisor. With a limit between two steps, what HiGHS lets
    pass (a millionth) and what it rounds away decide nothing. A limit on costs with fractions stays as it is.
    """
    whole = (costs == np.rint(costs)).all(axis=1)
    step = np.maximum(np.gcd.reduce(costs.astype(np.int64), axis=1), 1)
    return np.where(whole, (np.floor(room / step) + 0.5) * step, room)
