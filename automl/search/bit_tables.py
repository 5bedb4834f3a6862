"""What the terms of bits add to the tables of one elimination."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.search.bit_terms import BitTerms
from automl.search.elimination import Elimination, Scope, Table

Values = Sequence[NDArray[np.float64]]
_ONE = np.ones(1)


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Where one term goes."""

    scope: Scope
    """Of its variables those that are not held, in the order in which they go."""
    axes: tuple[slice | int, ...]
    """Takes them, in the order weight, input, first, second, from a table over all four."""
    order: tuple[int, ...]
    """For each of `scope` its place among them."""
    slots: tuple[int, int, int, int]
    """The variables of weight, input, first and second; -1 for the constant 1."""


class BitTables:
    """Terms and where they go in one elimination; variables that it holds, or whose bits do not matter, are held."""

    def __init__(self, terms: BitTerms, elimination: Elimination) -> None:
        """Places every term."""
        self._terms = terms
        scopes = map(elimination.left, terms.scopes)
        self._places = tuple(_placed(scope, slots) for scope, slots in zip(scopes, terms.slots, strict=True))
        self._held_weights, self._held_inputs = (
            np.array([slot for slot, place in enumerate(self._places) if place.axes[axis] == 0], dtype=np.int64)
            for axis in (0, 1)
        )

    def add(
        self,
        unary: dict[int, Table],
        shared: dict[Scope, Table],
        values: Values,
        prices: NDArray[np.float64],
        held: NDArray[np.float64],
    ) -> None:
        """Adds the terms to the tables of single variables and of scopes.

        Args:
            unary: Variable -> shape `(values,)`.
            shared: Scope -> one axis per variable; those that are missing come in.
            values: For each variable its values.
            prices: Shape `(limits,)`: loss per unit of cost.
            held: Shape `(variables,)`: values of those that are held.
        """
        for place, bits in zip(self._places, self._priced(values, prices, held), strict=True):
            if not place.scope:
                continue
            table = _table(place, bits, values, held)
            if len(place.scope) == 1:
                unary[place.scope[0]] = unary[place.scope[0]] + table
            else:
                shared[place.scope] = shared[place.scope] + table if place.scope in shared else table

    def _priced(self, values: Values, prices: NDArray[np.float64], held: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape `(terms, most values of weight, of input)`: loss per product of the two widths."""
        terms = self._terms
        now = terms.now(held)
        bits = _padded(values[terms.groups :])
        counts = terms.counts[:, np.arange(len(bits))[:, None], bits]  # [limits, bit variables, most values]
        of_weights, of_inputs = counts[:, terms.weight], counts[:, terms.input]
        of_weights[:, self._held_weights, 0] = now[:, terms.weight[self._held_weights]]
        of_inputs[:, self._held_inputs, 0] = now[:, terms.input[self._held_inputs]]
        priced = of_weights * (prices[:, None] * terms.scale)[:, :, None]
        return np.asarray(np.einsum("lti,ltj->tij", priced, of_inputs), dtype=np.float64)


def _padded(values: Values) -> NDArray[np.int64]:
    """Shape `(variables, most values)`: what is beyond a variable's own values is never read."""
    padded = np.zeros((len(values), max(map(len, values), default=1)), dtype=np.int64)
    for variable, row in enumerate(values):
        padded[variable, : len(row)] = row
    return padded


def _placed(scope: Scope, slots: tuple[int, int, int, int]) -> _Place:
    """Where a term goes.

    Args:
        scope: Of its variables those that are not held, in the order in which they go.
        slots: The variables of weight, input, first and second; -1 for the constant 1.
    """
    places = [slots.index(variable) for variable in scope]  # the square of a width has one axis, that of the first
    inside = sorted(places)
    return _Place(
        scope=scope,
        axes=tuple(slice(None) if axis in places else 0 for axis in range(4)),
        order=tuple(inside.index(place) for place in places),
        slots=slots,
    )


def _table(place: _Place, bits: NDArray[np.float64], values: Values, held: NDArray[np.float64]) -> Table:
    """The table of one term, over its scope."""
    weight, read, a, b = place.slots
    first, second = (_ONE if v < 0 else values[v] if v in place.scope else held[v : v + 1] for v in (a, b))
    if a == b:
        first, second = first * first, _ONE
    # Where bits are held they have one value, the first; `axes` takes it.
    table = np.multiply.outer(bits[: len(values[weight]), : len(values[read])], np.multiply.outer(first, second))
    return table[place.axes].transpose(place.order)
