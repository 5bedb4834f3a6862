"""The prices of the limits: the dual of the budgeted choice, climbed by cutting planes."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from automl.search.knapsack import Knapsack, Losses
from automl.search.lagrangian import Lagrangian, Menu

_HIGHEST_PRICE = 1e6
"""Loss of the whole table per whole limit; bounds the linear programs."""


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """One choice of all values, and where its plane cuts the dual."""

    index: NDArray[np.int64]
    """Shape `(variables,)`: positions in `Knapsack.values`."""
    loss: float
    excess: NDArray[np.float64]
    """Shape `(limits,)`: share of each limit that is used, less 1."""

    @classmethod
    def of(cls, knapsack: Knapsack, losses: Losses, index: NDArray[np.int64]) -> "Point":
        """The point of the values that `index` chooses."""
        loss = sum(float(row[i]) for row, i in zip(losses, index, strict=True))
        return cls(index, loss, knapsack.costs(knapsack.at(index)) / knapsack.allowed - 1.0)

    @property
    def feasible(self) -> bool:
        """Whether every limit holds."""
        return bool((self.excess <= 0).all())

    def value(self, prices: NDArray[np.float64]) -> float:
        """Loss plus priced excess."""
        return self.loss + float(prices @ self.excess)


@dataclass(frozen=True, slots=True, eq=False)
class Dual:
    """Where an ascent ended."""

    prices: NDArray[np.float64]
    """Shape `(limits,)`: loss per whole limit."""
    bound: float
    """The highest minimum of the Lagrangian that was met: a lower bound, where the minimum is exact."""
    points: tuple[Point, ...]
    """Every choice that was met."""

    def support(self) -> list[Point]:
        """The choices whose planes meet at the top, about: one more than there are limits, the lowest first."""
        distinct = {point.index.tobytes(): point for point in self.points}
        return sorted(distinct.values(), key=lambda point: point.value(self.prices))[: len(self.prices) + 1]


class PriceSearch:
    """Kelley's cutting planes (1960): each choice that was met bounds the dual from above by a plane."""

    def __init__(self, knapsack: Knapsack, lagrangian: Lagrangian, losses: Losses) -> None:
        """Starts from the planes of the whole network and of the smallest one."""
        self._knapsack = knapsack
        self._lagrangian = lagrangian
        self._planes = [Point.of(knapsack, losses, index) for index in (knapsack.largest, knapsack.smallest)]

    def climb(
        self, menu: Menu, start: NDArray[np.float64] | None, tolerance: float, rounds: int, deadline_s: float = np.inf
    ) -> Dual:
        """Raises the minimum of the Lagrangian over `menu`.

        Args:
            menu: Values and losses; planes of earlier menus stay.
            start: Prices to try first.
            tolerance: Stops when the bound is this near to the highest that the planes allow, as a share of it.
            rounds: Most minimisations.
            deadline_s: When to stop, by `time.perf_counter`; one minimisation is made in any case.
        """
        prices, roof = self._top() if start is None else (start, np.inf)
        best, best_prices = -np.inf, prices
        points: list[Point] = []
        held = self._knapsack.at(self._planes[-1].index)
        for _ in range(rounds):
            point, value = self._minimum(menu, prices, held)
            points.append(point)
            self._planes.append(point)
            held = self._knapsack.at(point.index)
            if value > best:
                best, best_prices = value, prices
            previous = prices
            prices, roof = self._top()
            settled = roof - best <= tolerance * abs(best) or (prices == previous).all()
            if settled or time.perf_counter() > deadline_s:
                break
        return Dual(best_prices, best, tuple(points))

    def _minimum(self, menu: Menu, prices: NDArray[np.float64], held: NDArray[np.float64]) -> tuple[Point, float]:
        allowed = self._knapsack.allowed
        chosen = self._lagrangian.minimise(menu, prices / allowed, held)
        loss = sum(float(row[i]) for row, i in zip(menu.losses, chosen, strict=True))
        values = np.array([row[i] for row, i in zip(menu.values, chosen, strict=True)])
        seen = menu.side_by_side[:, menu.starts + chosen[: len(menu.starts)]]
        index = np.array([row[i] for row, i in zip(menu.levels, chosen, strict=True)], dtype=np.int64)
        point = Point(index, loss, self._knapsack.costs_seen(seen, values) / allowed - 1.0)
        return point, point.value(prices)

    def _top(self) -> tuple[NDArray[np.float64], float]:
        """The prices at which the lowest of all planes is highest, and its height there."""
        losses = np.array([plane.loss for plane in self._planes])
        excess = np.array([plane.excess for plane in self._planes])
        if excess.shape[1] == 1:
            return _crossing(losses, excess[:, 0])
        limits = excess.shape[1]
        found = linprog(
            c=np.array([-1.0] + [0.0] * limits),
            A_ub=np.column_stack([np.ones(len(losses)), -excess]),
            b_ub=losses,
            bounds=[(None, None)] + [(0.0, _HIGHEST_PRICE)] * limits,
        )
        solution = np.asarray(found.x, dtype=np.float64)
        return np.maximum(solution[1:], 0.0), float(solution[0])


def _crossing(losses: NDArray[np.float64], excess: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The top of the lowest of several lines: a rising and a falling one cross there."""
    up, down = excess > 0, excess <= 0
    if not up.any():
        return np.zeros(1), float(losses.min())
    prices = (losses[down][None] - losses[up][:, None]) / (excess[up][:, None] - excess[down][None])
    prices = np.maximum(prices, 0.0)
    heights = np.minimum(losses[up][:, None] + prices * excess[up][:, None], losses[down] + prices * excess[down])
    best = np.unravel_index(int(heights.argmin()), heights.shape)
    return np.array([prices[best]]), float(heights[best])
