"""What bits cost: products of two widths, what the weights' bits count and what the inputs' bits count."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from automl.core.bits import FLOAT_BITS, stored_bits
from automl.core.budget import Metric
from automl.core.cost import BitCosts
from automl.core.knob import Knob
from automl.core.projection import bit_layout
from automl.search.elimination import Scope
from automl.search.forms import Forms

_BITS = np.arange(FLOAT_BITS + 1, dtype=np.float64)
_BYTES = np.array([stored_bits(bits) / 8 for bits in range(FLOAT_BITS + 1)])
"""Of one weight, by its bits."""


@dataclass(frozen=True, eq=False)
class BitTerms:
    """Summands `scale w[first] w[second] counts[weight's bits] counts[input's bits]` of every limit.

    A layer whose outputs and inputs belong to one group each has one; a concatenation has one for each pair of groups.
    """

    groups: int
    """Width variables, which come before the bit variables."""
    first: NDArray[np.int64]
    """Shape `(terms,)`: 1 + a width variable, or 0 for the constant 1."""
    second: NDArray[np.int64]
    """Shape `(terms,)`: the same; at least `first`."""
    weight: NDArray[np.int64]
    """Shape `(terms,)`: position among the bit variables of the weights' bits."""
    input: NDArray[np.int64]
    """Shape `(terms,)`: the same of the inputs' bits."""
    scale: NDArray[np.float64]
    """Shape `(limits, terms)`."""
    counts: NDArray[np.float64]
    """Shape `(limits, bit variables, 33)`: what a variable counts as, by its bits."""
    matters: NDArray[np.bool_]
    """Shape `(bit variables,)`: whether the choices count differently in some limit."""

    @classmethod
    def of(cls, knobs: Sequence[Knob], costs: BitCosts, metrics: Sequence[Metric]) -> "BitTerms":
        """The terms of limits on `metrics`; `knobs` are those of the bits."""
        crossed = np.einsum("al,bl->lab", costs.outputs, costs.inputs)
        upper = np.triu(crossed) + np.triu(crossed.transpose(0, 2, 1), 1)
        layer, first, second = np.nonzero(upper)
        units = {Metric.SIZE: costs.values, Metric.BOPS: costs.macs}
        unit = np.array([units.get(metric, np.zeros(len(costs.layers))) for metric in metrics])
        scale = unit[:, layer] * upper[layer, first, second]
        used = (scale > 0).any(axis=0)
        layout = bit_layout(knobs, costs.layers)[layer[used]]
        counts = np.array([[_counts(metric, knob) for knob in knobs] for metric in metrics])
        return cls(
            groups=len(costs.outputs) - 1,
            first=first[used],
            second=second[used],
            weight=layout[:, 0],
            input=layout[:, 1],
            scale=scale[:, used],
            counts=counts,
            matters=np.array([np.ptp(counts[:, v, knob.choices], axis=1).any() for v, knob in enumerate(knobs)]),
        )

    @cached_property
    def open(self) -> NDArray[np.bool_]:
        """Shape `(terms,)`: whether bits matter; what the others cost is a matter of widths alone."""
        return np.asarray(self.matters[self.weight] | self.matters[self.input], dtype=bool)

    def only(self, chosen: NDArray[np.bool_]) -> "BitTerms":
        """The terms that are chosen, by a mask of shape `(terms,)`."""
        return replace(
            self,
            first=self.first[chosen],
            second=self.second[chosen],
            weight=self.weight[chosen],
            input=self.input[chosen],
            scale=self.scale[:, chosen],
        )

    def costs(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape `(limits,)` for `values` of shape `(variables,)`."""
        return np.asarray(self._at_bits(self.now(values)) @ self._pairs(values), dtype=np.float64)

    def costs_of_rows(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape `(limits, rows)` for `values` of shape `(rows, variables)`."""
        bits = values[:, self.groups :].astype(np.int64)
        of_weights = self.counts[:, self.weight, bits[:, self.weight]]  # [limits, rows, terms]
        of_inputs = self.counts[:, self.input, bits[:, self.input]]
        whole = np.concatenate([np.ones((len(values), 1)), values[:, : self.groups]], axis=1)
        pairs = whole[:, self.first] * whole[:, self.second]
        return np.asarray((self.scale[:, None] * of_weights * of_inputs * pairs).sum(axis=2), dtype=np.float64)

    def added_to(self, forms: Forms, values: NDArray[np.float64]) -> Forms:
        """What `forms` and these terms are together, as functions of the widths, at the bits in `values`."""
        side = self.groups + 1
        summed = _summed(self.first * side + self.second, self._at_bits(self.now(values)), side * side)
        return forms.plus(summed.reshape(-1, side, side))

    def of_widths(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Cost per channel of each group, its own square left out, and per square, of shape `(limits, groups)` each."""
        whole = np.append(1.0, values[: self.groups])
        amounts = self._at_bits(self.now(values))
        crossed = np.where(self.first == self.second, 0.0, amounts)
        slopes = _summed(self.first, crossed * whole[self.second], len(whole))
        slopes += _summed(self.second, crossed * whole[self.first], len(whole))
        return slopes[:, 1:], _summed(self.first, amounts - crossed, len(whole))[:, 1:]

    def slopes(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape `(limits, bit variables)`: cost per unit that the variable counts, all others as in `values`."""
        now = self.now(values)
        amounts = self.scale * self._pairs(values)
        of_weights = _summed(self.weight, amounts * now[:, self.input], len(self.matters))
        return of_weights + _summed(self.input, amounts * now[:, self.weight], len(self.matters))

    def now(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape `(limits, bit variables)`: what the bits in `values` count."""
        bits = values[self.groups :].astype(np.int64)
        return np.asarray(self.counts[:, np.arange(len(bits)), bits], dtype=np.float64)

    @cached_property
    def slots(self) -> tuple[tuple[int, int, int, int], ...]:
        """For each term its variables of weight, input, first and second; -1 for the constant 1."""
        columns = (self.groups + self.weight, self.groups + self.input, self.first - 1, self.second - 1)
        return tuple((int(w), int(i), int(a), int(b)) for w, i, a, b in zip(*columns, strict=True))

    @cached_property
    def scopes(self) -> tuple[Scope, ...]:
        """For each term its variables: widths, then bits that matter."""
        return tuple(
            (
                *sorted({width for width in (first, second) if width >= 0}),
                *(bits for bits in (weight, read) if self.matters[bits - self.groups]),
            )
            for weight, read, first, second in self.slots
        )

    def _at_bits(self, now: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape `(limits, terms)`: cost per product of the two widths."""
        return np.asarray(self.scale * now[:, self.weight] * now[:, self.input], dtype=np.float64)

    def _pairs(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        whole = np.append(1.0, values[: self.groups])
        return np.asarray(whole[self.first] * whole[self.second], dtype=np.float64)


def _counts(metric: Metric, knob: Knob) -> NDArray[np.float64]:
    if metric is Metric.SIZE:
        return _BYTES if knob.kind == "weight_bits" else np.ones_like(_BITS)
    return _BITS if metric is Metric.BOPS else np.ones_like(_BITS)


def _summed(places: NDArray[np.int64], amounts: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Shape `(limits, size)`: the sum of the amounts, of shape `(limits, terms)`, at each place."""
    return np.array([np.bincount(places, row, size) for row in amounts])
