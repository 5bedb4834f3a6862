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
from automl.core.knob import Knob

TARGET_USE = 0.98
"""A policy that uses this share of the tightest budget is left as it is."""
_BISECTIONS = 40

Values = NDArray[np.int64]
"""One per knob: channels kept, then bits."""


class Projection:
    """Maps desired values of the knobs to values that every budget allows; shared by solver, samplers and env."""

    def __init__(self, knobs: Sequence[Knob], cost_model: CostModel, budget: Budget, dense: Cost) -> None:
        """Checks that the budget can be met.

        Args:
            knobs: Those of the channels first, one for each group of `graph.prunable`; then those of the bits.
            cost_model: Prices widths and bits.
            budget: Every limit of it holds for each result.
            dense: Cost of the uncompressed network, which relative limits refer to.

        Raises:
            BudgetError: If even the smallest widths above 0 and the fewest bits break a limit, or a limit is above the
                dense cost.
        """
        groups = cost_model.graph.prunable
        self._of_bits = knobs[len(groups) :]
        choices = [knob.choices for knob in knobs[: len(groups)]]
        self._droppable = np.array([widths[0] == 0 for widths in choices], dtype=bool)
        self._goes_with = _goes_with(groups)
        # A branch that is gone for good has no choice but 0.
        self._choices = [
            np.array([width for width in widths if width > 0] or [0], dtype=np.int64) for widths in choices
        ]
        self._bit_choices = [np.array(knob.choices, dtype=np.int64) for knob in self._of_bits]
        self._cost_model = cost_model
        self._layout = None if cost_model.bit_costs is None else bit_layout(self._of_bits, cost_model.bit_costs.layers)
        self._columns = [METRICS.index(limit.metric) for limit in budget.limits]
        self._allowed = np.array([limit.absolute(dense) for limit in budget.limits])
        self._largest = np.array([widths[-1] for widths in self._choices], dtype=np.int64)
        smallest = np.array([widths[0] for widths in self._choices], dtype=np.int64)
        fewest = np.array([choices[0] for choices in self._bit_choices], dtype=np.int64)
        narrowest = np.where(self._gone(smallest.astype(np.float64)), 0, smallest)
        self._smallest = self._cheapest(narrowest, fewest)
        self._check(budget, dense, fewest)

    def __call__(self, desired: NDArray[np.float64]) -> Values:
        """The values nearest to `desired` that meet every budget.

        Values that already meet it and use `TARGET_USE` of it come back unchanged, so projecting twice changes
        nothing. Else bits stay as they are wished, unless no widths are small enough for them; all widths are scaled by
        one factor, rounded, and the rest of the budget is filled, with bits only where widths leave it. A branch is
        dropped where 0 itself is asked for, and nowhere else: what is above 0 is never rounded to 0, and nothing
        dropped comes back. So a proposal with dropped branches may leave more of the budget than others.

        Args:
            desired: Shape `(knobs,)`: channels and bits wanted, not necessarily whole, allowed or affordable.
        """
        count = len(self._choices)
        gone = self._gone(desired[:count])
        wanted = np.where(gone, 0.0, np.clip(np.nan_to_num(desired[:count]), 0.0, self._largest))
        bits = self._affordable(_nearest(self._bit_choices, np.nan_to_num(desired[count:])))
        nearest = self._rounded(wanted, gone)
        if TARGET_USE <= self._used(nearest[None], bits)[0] <= 1.0:
            return np.concatenate([nearest, bits])
        scaled = wanted * self._largest_scale(wanted, gone, bits)
        shrunk = self._rounded(scaled, gone)
        if self._used(shrunk[None], bits)[0] > 1.0:
            shrunk = np.where(gone, 0, self._smallest)  # the narrowest are not the cheapest
        widths = self._fill(shrunk, scaled, bits)
        widths = self._exchange(widths, bits)
        return np.concatenate([widths, self._raised(widths, bits)])

    def used(self, values: Values) -> NDArray[np.float64]:
        """Share of the tightest budget that each row of `values` takes; at most 1 where all are met."""
        return np.asarray(self.shares(values).max(axis=1), dtype=np.float64)

    def shares(self, values: Values) -> NDArray[np.float64]:
        """Shape `(rows, limits)`: share of each limit, in the order of `budget.limits`."""
        widths, bits = values[:, : len(self._choices)], values[:, len(self._choices) :]
        laid_out = None if not self._of_bits or self._layout is None else bits[:, self._layout]
        costs = self._cost_model.table(widths, laid_out)[:, self._columns]
        return np.asarray(costs / self._allowed, dtype=np.float64)

    def _used(self, widths: Values, bits: Values) -> NDArray[np.float64]:
        """Of many rows of widths with the same bits, or the other way round."""
        bits = np.atleast_2d(bits)
        rows = max(len(widths), len(bits))
        return self.used(np.hstack([np.broadcast_to(each, (rows, each.shape[1])) for each in (widths, bits)]))

    def _cheapest(self, narrowest: Values, bits: Values) -> Values:
        """`narrowest`, or wider where that alone meets the budget: a full multiple can take less time than a part."""
        widths, used = narrowest, self._used(narrowest[None], bits)[0]
        while used > 1.0:
            entries = [(g, width) for g, choices in enumerate(self._choices) if widths[g] > 0 for width in choices]
            rows = np.repeat(widths[None], len(entries), axis=0)
            for row, (group, width) in zip(rows, entries, strict=True):
                row[group] = width
            shares = self._used(rows, bits)
            if shares.min(initial=np.inf) >= used:
                break
            widths, used = rows[int(shares.argmin())], shares.min()
        return widths

    def _check(self, budget: Budget, dense: Cost, fewest: Values) -> None:
        laid_out = None if not self._of_bits or self._layout is None else fewest[None][:, self._layout]
        smallest = self._cost_model.table(self._smallest[None], laid_out)[0, self._columns]
        for limit, allowed, least in zip(budget.limits, self._allowed, smallest, strict=True):
            full, text = limit.metric.of(dense), limit.metric.text
            name = limit.metric.value
            if limit.asked(dense) > full:
                raise BudgetError(
                    f"A budget must not be above the dense cost, but {limit.text!r} allows {text(limit.asked(dense))} "
                    f"and the dense model has {text(full)}. Give at most 1{name}."
                )
            if least > allowed:
                reachable = np.ceil(least / (1.0 - limit.margin) / full * 1e4) / 1e4
                kept = f" (of which {limit.margin:.1%} are kept as a margin)" if limit.margin else ""
                raise BudgetError(
                    f"A budget must be reachable, but {limit.text!r} allows {text(limit.asked(dense))}{kept} and the "
                    f"smallest policy needs {text(least)}. The nearest reachable budget is {reachable:g}{name}."
                )

    def _affordable(self, bits: Values) -> Values:
        """Fewer bits where even the smallest widths are too large; each time where that saves most."""
        while self._used(self._smallest[None], bits)[0] > 1.0:
            fewer = self._stepped_bits(bits, -1)
            used = self._used(self._smallest[None], fewer)
            if (fewer == bits).all():
                break  # `_check` has seen each limit alone within reach
            bits = fewer[int(used.argmin())]
        return bits

    def _raised(self, widths: Values, bits: Values) -> Values:
        """More bits where the widest layers leave some of the budget."""
        while len(bits) and self._used(widths[None], bits)[0] < TARGET_USE:
            more = self._stepped_bits(bits, 1)
            used = self._used(widths[None], more)
            used[(used > 1.0) | (more == bits).all(axis=1)] = -1.0
            if used.max() < 0:
                break
            bits = more[int(used.argmax())]
        return bits

    def _stepped_bits(self, bits: Values, step: int) -> Values:
        """Shape `(bit knobs, bit knobs)`: row k is `bits` with knob k one choice further."""
        moved = np.repeat(bits[None], len(bits), axis=0)
        for knob, choices in enumerate(self._bit_choices):
            index = int(np.searchsorted(choices, bits[knob])) + step
            moved[knob, knob] = choices[min(max(index, 0), len(choices) - 1)]
        return moved

    def _gone(self, desired: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Groups that keep nothing: those whose drop is asked for or decided, and what only these branches read."""
        dropped = ((desired == 0) | (self._largest == 0)) & self._droppable
        return np.asarray(dropped | (dropped @ self._goes_with), dtype=bool)

    def _rounded(self, wanted: NDArray[np.float64], gone: NDArray[np.bool_]) -> Values:
        return np.where(gone, 0, _nearest(self._choices, wanted))

    def _largest_scale(self, wanted: NDArray[np.float64], gone: NDArray[np.bool_], bits: Values) -> float:
        """The largest common factor whose rounded widths meet every budget; 0 where none does.

        Where costs do not only grow with widths, a larger one may be missed.
        """
        positive = wanted[wanted > 0]
        low, high = 0.0, float((self._largest.max() / positive.min()) if positive.size else 1.0)
        if self._used(self._rounded(wanted * high, gone)[None], bits)[0] <= 1.0:
            return high
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            if self._used(self._rounded(wanted * middle, gone)[None], bits)[0] <= 1.0:
                low = middle
            else:
                high = middle
        return low

    def _fill(self, widths: Values, scaled: NDArray[np.float64], bits: Values) -> Values:
        """Widens one group a step at a time, the one that rounding shortened most first, while budgets allow."""
        while True:
            wider = self._stepped(widths, up=True)  # [groups, groups]
            step = np.maximum(wider.diagonal() - widths, 1)
            fits = (wider.diagonal() > widths) & (self._used(wider, bits) <= 1.0)
            if not fits.any():
                return widths
            shortfall = np.where(fits, (scaled - widths) / step, -np.inf)
            widths = wider[int(shortfall.argmax())]

    def _exchange(self, widths: Values, bits: Values) -> Values:
        """Narrows one group and widens another while that brings the use of the budget to `TARGET_USE`."""
        used = self._used(widths[None], bits)[0]
        while used < TARGET_USE:
            narrower = np.unique(self._stepped(widths, up=False), axis=0)
            pairs = np.concatenate([self._stepped(row, up=True) for row in narrower])
            pair_used = self._used(pairs, bits)
            pair_used[pair_used > 1.0] = 0.0
            best = int(pair_used.argmax())
            if pair_used[best] <= used:
                return widths
            widths, used = pairs[best], pair_used[best]
        return widths

    def _stepped(self, widths: Values, *, up: bool) -> Values:
        """Shape `(groups, groups)`: row g is `widths` with group g one choice wider (or narrower); 0 stays 0."""
        moved = np.repeat(widths[None], len(widths), axis=0)
        for group, choices in enumerate(self._choices):
            if widths[group] == 0:
                continue
            index = int(np.searchsorted(choices, widths[group])) + (1 if up else -1)
            moved[group, group] = choices[min(max(index, 0), len(choices) - 1)]
        return moved


def bit_layout(knobs: Sequence[Knob], layers: Sequence[str]) -> NDArray[np.int64]:
    """Shape `(layers, 2)`: for each layer the positions in `knobs` of its weights' bits and of its inputs' bits."""
    places = {}
    for index, knob in enumerate(knobs):
        kind = 0 if knob.kind == "weight_bits" else 1
        places.update({(layer, kind): index for layer in (knob.target, *knob.tied)})
    if not knobs:
        return np.zeros((len(layers), 2), dtype=np.int64)
    return np.array([[places[layer, 0], places[layer, 1]] for layer in layers], dtype=np.int64).reshape(-1, 2)


def _nearest(choices: Sequence[NDArray[np.int64]], wanted: NDArray[np.float64]) -> Values:
    return np.array([c[np.abs(c - want).argmin()] for c, want in zip(choices, wanted, strict=True)], dtype=np.int64)


def _goes_with(groups: Sequence[ChannelGroup]) -> NDArray[np.bool_]:
    """Shape `(groups, groups)`: whether the group of the column keeps nothing where that of the row is dropped."""
    return np.array([[other.name in group.drops for other in groups] for group in groups], dtype=bool)
