"""The budgeted choice of widths as plain arrays: what each group may keep, and what pairs of groups cost together."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from automl.core.budget import METRICS, Budget
from automl.core.cost import Cost, CostModel
from automl.core.errors import BudgetError, InputError
from automl.core.knob import Knob
from automl.core.sensitivity import SensitivityTable
from automl.search.elimination import Edge

Losses = tuple[NDArray[np.float64], ...]
"""For each group the loss of each of its widths."""


@dataclass(frozen=True, eq=False)
class Knapsack:
    """Widths of every group, and limits: `constant + linear w + squares w^2 + w products w / 2 <= allowed`."""

    widths: tuple[NDArray[np.float64], ...]
    """For each group its widths, ascending; a first 0 means that its branch is dropped."""
    together: tuple[Edge, ...]
    """Pairs of groups that are 0 together: a branch, and a group that only this branch reads."""
    allowed: NDArray[np.float64]
    """Shape `(limits,)`: MACs, parameters, bytes or BOPs."""
    constant: NDArray[np.float64]
    """Shape `(limits,)`."""
    linear: NDArray[np.float64]
    """Shape `(limits, groups)`."""
    squares: NDArray[np.float64]
    """Shape `(limits, groups)`."""
    products: NDArray[np.float64]
    """Shape `(limits, groups, groups)`: symmetric, zero on the diagonal."""

    @classmethod
    def of(cls, knobs: Sequence[Knob], cost_model: CostModel, budget: Budget, dense: Cost) -> "Knapsack":
        """The arrays of one search problem.

        Args:
            knobs: One per prunable group, in the order of `cost_model.graph.prunable`.
            cost_model: Has the costs as quadratic forms.
            budget: Every limit must hold.
            dense: What relative limits refer to.

        Raises:
            BudgetError: If even the smallest widths break a limit.
        """
        groups = cost_model.graph.prunable
        place = {group.name: index for index, group in enumerate(groups)}
        dropped = [group for group, knob in zip(groups, knobs, strict=True) if knob.choices[0] == 0]
        together = tuple((place[group.name], place[name]) for group in dropped for name in group.drops)
        follow = {partner for _, partner in together}
        widths = [np.array(([0] if i in follow else []) + list(knob.choices), float) for i, knob in enumerate(knobs)]
        forms = [cost_model.forms[METRICS.index(limit.metric)] for limit in budget.limits]
        upper = np.array([np.triu(form.products, 1) for form in forms])
        knapsack = cls(
            widths=tuple(widths),
            together=together,
            allowed=np.array([limit.absolute(dense) for limit in budget.limits]),
            constant=np.array([form.constant for form in forms]),
            linear=np.array([form.linear for form in forms]),
            squares=np.array([form.products.diagonal() for form in forms]),
            products=upper + upper.transpose(0, 2, 1),
        )
        knapsack._check(budget)
        return knapsack

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """Pairs of groups that no table of single groups can describe."""
        coupled = np.triu((self.products > 0).any(axis=0))
        for a, b in self.together:
            coupled[min(a, b), max(a, b)] = True
        return tuple((int(a), int(b)) for a, b in np.argwhere(coupled))

    @cached_property
    def smallest(self) -> NDArray[np.int64]:
        """The index of the least widths, dropped branches among them."""
        return np.zeros(len(self.widths), dtype=np.int64)

    @cached_property
    def largest(self) -> NDArray[np.int64]:
        """The index of the whole network."""
        return np.array(self.sizes, dtype=np.int64) - 1

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of widths of each group."""
        return tuple(len(widths) for widths in self.widths)

    def costs(self, widths: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape `(limits,)` for `widths` of shape `(groups,)`; exact, as the forms are."""
        slopes = self.linear + self.squares * widths + (self.products @ widths) / 2
        return np.asarray(self.constant + slopes @ widths, dtype=np.float64)

    def at(self, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """The widths that `index`, of shape `(groups,)`, chooses."""
        return np.array([widths[i] for widths, i in zip(self.widths, index, strict=True)])

    def fits(self, index: NDArray[np.int64]) -> bool:
        """Whether the widths that `index` chooses meet every limit."""
        return bool((self.costs(self.at(index)) <= self.allowed).all())

    def index(self, widths: NDArray[np.int64]) -> NDArray[np.int64]:
        """The inverse of `at`; raises `InputError` where a width is not a choice, or only half a branch is dropped."""
        index = [int(np.searchsorted(row, width)) for row, width in zip(self.widths, widths, strict=True)]
        if any(i == len(row) or row[i] != width for i, row, width in zip(index, self.widths, widths, strict=True)):
            raise InputError(f"Widths must be among the choices of their knobs, but got {widths.tolist()}.")
        if any((widths[a] == 0) != (widths[b] == 0) for a, b in self.together):
            raise InputError(f"Groups of one branch must be dropped together, but got {widths.tolist()}.")
        return np.array(index, dtype=np.int64)

    def losses(self, table: SensitivityTable, knobs: Sequence[Knob]) -> Losses:
        """The losses of `table` for `widths`; the 0 of a group that only a branch reads costs nothing of its own.

        Raises:
            InputError: If the table is not about these knobs.
        """
        if table.knobs != tuple(k.name for k in knobs) or table.choices != tuple(k.choices for k in knobs):
            raise InputError("A sensitivity table must have the groups and widths of the search space. Build it again.")
        padding = [len(own) - len(row) for own, row in zip(self.widths, table.choices, strict=True)]
        return tuple(np.array([0.0] * more + list(row)) for more, row in zip(padding, table.losses, strict=True))

    def _check(self, budget: Budget) -> None:
        least = self.costs(self.at(self.smallest))
        for limit, allowed, cost in zip(budget.limits, self.allowed, least, strict=True):
            if cost > allowed:
                raise BudgetError(
                    f"A budget must be reachable, but {limit.text!r} allows {allowed:,.0f} {limit.metric.value} and "
                    f"the smallest policy needs {cost:,.0f}. Ask for more, or allow narrower widths."
                )


def normalised(losses: Losses) -> tuple[Losses, float]:
    """The losses as shares of the whole table, so that a common factor changes nothing, and that factor."""
    total = sum(float(row.max()) for row in losses)
    return (tuple(row / total for row in losses), total) if total > 0 else (losses, 1.0)
