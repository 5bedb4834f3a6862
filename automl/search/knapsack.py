"""The budgeted choice as plain arrays: the values of each variable, and what they cost together.

The variables are the widths of the groups, then the bits that are searched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from automl.core.budget import METRICS, Budget, Metric
from automl.core.cost import Cost, CostModel
from automl.core.errors import BudgetError, InputError
from automl.core.knob import Knob
from automl.core.sensitivity import SensitivityTable
from automl.search.bit_terms import BitTerms
from automl.search.elimination import Scope
from automl.search.forms import Forms

Losses = tuple[NDArray[np.float64], ...]
"""For each variable the loss of each of its values."""


@dataclass(frozen=True, eq=False)
class Knapsack:
    """Values of every variable, and limits on what they cost."""

    values: tuple[NDArray[np.float64], ...]
    """For each variable its values, ascending; a first 0 means that the group's branch is dropped."""
    together: tuple[tuple[int, int], ...]
    """Pairs of groups that are 0 together: a branch, and a group that only this branch reads."""
    allowed: NDArray[np.float64]
    """Shape `(limits,)`: MACs, parameters, bytes, BOPs or milliseconds."""
    forms: Forms
    """What the widths cost, whatever the bits."""
    terms: BitTerms | None
    """What they cost beside it with their bits; None where no bits are searched."""

    @classmethod
    def of(cls, knobs: Sequence[Knob], cost_model: CostModel, budget: Budget, dense: Cost) -> "Knapsack":
        """The arrays of one search problem.

        Args:
            knobs: One per prunable group, in the order of `cost_model.graph.prunable`; then those of the bits.
            cost_model: Has the costs as quadratic forms, and what bits add to them.
            budget: Every limit must hold.
            dense: What relative limits refer to.

        Raises:
            BudgetError: If even the smallest values break a limit.
        """
        groups = cost_model.graph.prunable
        place = {group.name: index for index, group in enumerate(groups)}
        dropped = [group for group, knob in zip(groups, knobs, strict=False) if knob.choices[0] == 0]
        together = tuple((place[group.name], place[name]) for group in dropped for name in group.drops)
        follow = {partner for _, partner in together}
        allowed = np.array([limit.absolute(dense) for limit in budget.limits])
        forms, terms = _costs(knobs[len(groups) :], cost_model, budget)
        if terms is not None:
            # Weights of 4 bits may end in half a byte, which costs a whole one; milliseconds are never whole.
            whole = [limit.metric is not Metric.LATENCY for limit in budget.limits]
            allowed = np.where(whole, np.floor(allowed), allowed)
        knapsack = cls(
            values=tuple(np.array(([0] if i in follow else []) + list(k.choices), float) for i, k in enumerate(knobs)),
            together=together,
            allowed=allowed,
            forms=forms,
            terms=terms,
        )
        knapsack._check(budget)
        return knapsack

    @cached_property
    def groups(self) -> int:
        """How many of the variables, the first ones, are widths."""
        return self.forms.groups

    @cached_property
    def seen(self) -> tuple[NDArray[np.float64], ...]:
        """For each group what the forms see of its values, of shape `(views, values)`."""
        return tuple(self.forms.lifted(row) for row in self.values[: self.groups])

    @cached_property
    def pairs(self) -> tuple[Scope, ...]:
        """Pairs of groups that no table of single groups can describe, whatever the bits."""
        coupled = np.triu((self.forms.by_group > 0).any(axis=(0, 1, 3)))
        for a, b in self.together:
            coupled[min(a, b), max(a, b)] = True
        return tuple((int(a), int(b)) for a, b in np.argwhere(coupled))

    @cached_property
    def scopes(self) -> tuple[Scope, ...]:
        """Variables that no table of fewer can describe."""
        return self.pairs if self.terms is None else (*self.pairs, *dict.fromkeys(self.terms.scopes))

    @cached_property
    def smallest(self) -> NDArray[np.int64]:
        """The index of the least values, dropped branches among them; of wider ones where these alone meet the limits.

        A full multiple of channels can take less time than a part of it.
        """
        index = np.zeros(len(self.values), dtype=np.int64)
        used = self._used(index)
        while used > 1.0:
            entries = [(g, i) for g in range(self.groups) for i in range(self.sizes[g]) if self.values[g][index[g]] > 0]
            rows = [np.where(np.arange(len(index)) == g, i, index) for g, i in entries]
            best = min(rows, key=self._used, default=index)
            if self._used(best) >= used:
                break
            index, used = best, self._used(best)
        return index

    @cached_property
    def largest(self) -> NDArray[np.int64]:
        """The index of the whole network."""
        return np.array(self.sizes, dtype=np.int64) - 1

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of each variable."""
        return tuple(map(len, self.values))

    def costs(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape `(limits,)` for `values` of shape `(variables,)`; exact, as the forms are."""
        return self.costs_seen(self.forms.lifted(values[: self.groups]), values)

    def costs_seen(self, seen: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same where the forms see something else of the widths: shape `(views, groups)`."""
        costs = self.forms.costs(seen)
        return costs if self.terms is None else costs + self.terms.costs(values)

    def forms_at(self, values: NDArray[np.float64]) -> Forms:
        """What the widths cost at the bits in `values`."""
        return self.forms if self.terms is None else self.terms.added_to(self.forms, values)

    def at(self, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """The values that `index`, of shape `(variables,)`, chooses."""
        return np.array([values[i] for values, i in zip(self.values, index, strict=True)])

    def fits(self, index: NDArray[np.int64]) -> bool:
        """Whether the values that `index` chooses meet every limit."""
        return bool((self.costs(self.at(index)) <= self.allowed).all())

    def index(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """The inverse of `at`; raises `InputError` where a value is not a choice, or only half a branch is dropped."""
        index = [int(np.searchsorted(row, value)) for row, value in zip(self.values, values, strict=True)]
        if any(i == len(row) or row[i] != value for i, row, value in zip(index, self.values, values, strict=True)):
            raise InputError(f"Values must be among the choices of their knobs, but got {values.tolist()}.")
        if any((values[a] == 0) != (values[b] == 0) for a, b in self.together):
            raise InputError(f"Groups of one branch must be dropped together, but got {values.tolist()}.")
        return np.array(index, dtype=np.int64)

    def losses(self, table: SensitivityTable, knobs: Sequence[Knob]) -> Losses:
        """The losses of `table` for `values`; the 0 of a group that only a branch reads costs nothing of its own.

        Raises:
            InputError: If the table is not about these knobs.
        """
        if table.knobs != tuple(k.name for k in knobs) or table.choices != tuple(k.choices for k in knobs):
            raise InputError("A sensitivity table must have the knobs and choices of the search space. Build it again.")
        padding = [len(own) - len(row) for own, row in zip(self.values, table.choices, strict=True)]
        return tuple(np.array([0.0] * more + list(row)) for more, row in zip(padding, table.losses, strict=True))

    def _used(self, index: NDArray[np.int64]) -> float:
        """Share of the tightest limit."""
        return float((self.costs(self.at(index)) / self.allowed).max())

    def _check(self, budget: Budget) -> None:
        least = self.costs(self.at(self.smallest))
        for limit, allowed, cost in zip(budget.limits, self.allowed, least, strict=True):
            if cost > allowed:
                raise BudgetError(
                    f"A budget must be reachable, but {limit.text!r} allows {limit.metric.text(allowed)} and the "
                    f"smallest policy needs {limit.metric.text(cost)}. Ask for more, or allow narrower widths or fewer "
                    "bits."
                )


def _costs(bit_knobs: Sequence[Knob], cost_model: CostModel, budget: Budget) -> tuple[Forms, BitTerms | None]:
    """What the limits count, without and with bits."""
    metrics = [limit.metric for limit in budget.limits]
    columns = [METRICS.index(metric) for metric in metrics]
    if not bit_knobs:
        return Forms.of([cost_model.forms[column] for column in columns]), None
    costs = cost_model.bit_costs
    if costs is None:
        raise ValueError("Bits are searched in a network whose graph does not say where they can be had")
    forms, terms = Forms.of([costs.forms[column] for column in columns]), BitTerms.of(bit_knobs, costs, metrics)
    fewest = np.array([0.0] * terms.groups + [float(knob.choices[0]) for knob in bit_knobs])
    return terms.only(~terms.open).added_to(forms, fewest), terms.only(terms.open)


def normalised(losses: Losses) -> tuple[Losses, float]:
    """The losses as shares of the whole table, so that a common factor changes nothing, and that factor."""
    total = sum(float(row.max()) for row in losses)
    return (tuple(row / total for row in losses), total) if total > 0 else (losses, 1.0)
