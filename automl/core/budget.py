"""Budgets: what the user allows the compressed network to cost."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from automl.core.cost import Cost
from automl.core.errors import BudgetError


class Metric(Enum):
    """What a budget limits. `flops` counts multiply-adds once, as AMC's tables do."""

    FLOPS = "flops"
    PARAMS = "params"
    SIZE = "size"
    BOPS = "bops"
    LATENCY = "latency"

    def of(self, cost: Cost) -> float:
        """This metric's value in `cost`: MACs, parameters, bytes, BOPs or milliseconds.

        Raises:
            BudgetError: If this is the latency and `cost` has none.
        """
        values = {
            Metric.FLOPS: cost.macs,
            Metric.PARAMS: cost.params,
            Metric.SIZE: cost.size_bytes,
            Metric.BOPS: cost.bops,
            Metric.LATENCY: cost.latency_ms,
        }
        value = values[self]
        if value is None:
            raise BudgetError("A latency budget needs a measured latency, which is not there yet.")
        return float(value)

    def text(self, value: float) -> str:
        """A value of this metric as messages write it: `1,234 params` or `4.13 ms`."""
        if self is not Metric.LATENCY:
            return f"{value:,.0f} {self.value}"
        return f"{value:.3g} ms" if value < 100 else f"{value:,.0f} ms"


METRICS = (Metric.FLOPS, Metric.PARAMS, Metric.SIZE, Metric.BOPS, Metric.LATENCY)
"""The columns of `CostModel.table`; the last one where the model knows a device."""
_UNITS = {
    "flops": Metric.FLOPS,
    "flop": Metric.FLOPS,
    "macs": Metric.FLOPS,
    "params": Metric.PARAMS,
    "param": Metric.PARAMS,
    "size": Metric.SIZE,
    "bops": Metric.BOPS,
    "latency": Metric.LATENCY,
    "b": Metric.SIZE,
    "ms": Metric.LATENCY,
    "us": Metric.LATENCY,
    "s": Metric.LATENCY,
}
_PREFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
_SECONDS_TO_MS = {"ms": 1.0, "us": 1e-3, "s": 1e3}
_NEVER_PREFIXED = {"latency", "size", *_SECONDS_TO_MS}
_LEAST, _MOST = 1e-12, 1e15
"""Numbers that a budget may have: with others, what is computed from them may overflow."""
_GRAMMAR = (
    "Write a fraction of the dense model (0.25flops, 0.3params, 0.2size, 0.5latency, 0.1bops) "
    "or an absolute value (150Mflops, 1.2Mparams, 2MB, 5ms, 8Gbops), joined by commas."
)


@dataclass(frozen=True, slots=True)
class Limit:
    """One budget: at most `value` of `metric`."""

    metric: Metric
    value: float
    """A fraction of the dense cost if `relative`, else MACs, parameters, bytes, BOPs or milliseconds."""
    relative: bool
    text: str
    """As the user wrote it."""
    margin: float = 0.0
    """Share of the limit that policies leave, below 1: what is predicted of them may be too little, or too much where
    it is below 0."""

    def asked(self, dense: Cost) -> float:
        """The most that the compressed network may cost.

        Raises:
            BudgetError: If the dense network's latency is not known and this limits it.
        """
        full = self.metric.of(dense)
        return self.value * full if self.relative else self.value

    def absolute(self, dense: Cost) -> float:
        """The most that a policy may cost by what the cost model says: what is asked, less the margin."""
        return self.asked(dense) * (1.0 - self.margin)


@dataclass(frozen=True, slots=True)
class Budget:
    """Several limits, all of which hold."""

    limits: tuple[Limit, ...]

    @classmethod
    def parse(cls, texts: str | Sequence[str]) -> "Budget":
        """Reads `0.25flops,2MB`, or several such texts.

        Raises:
            BudgetError: If a part is not a positive number with a known unit.
        """
        joined = texts if isinstance(texts, str) else ",".join(texts)
        parts = [part.strip() for part in joined.split(",") if part.strip()]
        if not parts:
            raise BudgetError(f"A budget must not be empty. {_GRAMMAR}")
        return cls(tuple(_parse_limit(part) for part in parts))

    def __str__(self) -> str:
        """The budget as `parse` reads it."""
        return ",".join(limit.text for limit in self.limits)

    def limits_of(self, metric: Metric) -> tuple[Limit, ...]:
        """The limits of one metric."""
        return tuple(limit for limit in self.limits if limit.metric is metric)

    def with_margin(self, metric: Metric, margin: float) -> "Budget":
        """The same budget, of which policies leave a share of every limit of `metric`."""
        return Budget(tuple(replace(x, margin=margin) if x.metric is metric else x for x in self.limits))

    def used(self, cost: Cost, dense: Cost) -> float:
        """Share of the tightest limit that `cost` takes; at most 1 where every limit holds."""
        return max(limit.metric.of(cost) / limit.absolute(dense) for limit in self.limits)

    def satisfied_by(self, cost: Cost, dense: Cost) -> bool:
        """Whether every limit holds."""
        return all(limit.metric.of(cost) <= limit.absolute(dense) for limit in self.limits)


def _parse_limit(text: str) -> Limit:
    match = re.fullmatch(r"([-+]?[0-9.]+(?:e[-+]?[0-9]+)?) *([a-z]+)", text, flags=re.IGNORECASE | re.ASCII)
    number = _number(match.group(1)) if match else None
    if match is None or number is None:
        raise BudgetError(f"A budget is a number and a unit, but got {text!r}. {_GRAMMAR}")
    if not number > 0:
        raise BudgetError(f"A budget must be above 0, but got {text!r}. {_GRAMMAR}")
    if not _LEAST <= number <= _MOST:
        raise BudgetError(f"A budget is a number of {_LEAST:g} to {_MOST:g}, but got {text!r}. {_GRAMMAR}")
    unit = match.group(2).lower()
    if unit in _SECONDS_TO_MS:
        return Limit(Metric.LATENCY, number * _SECONDS_TO_MS[unit], relative=False, text=text)
    prefix, name = (unit[0], unit[1:]) if unit not in _UNITS and unit[1:] in _UNITS else ("", unit)
    if name not in _UNITS or prefix not in _PREFIXES or (prefix and name in _NEVER_PREFIXED):
        raise BudgetError(f"The unit {match.group(2)!r} of the budget {text!r} is unknown. {_GRAMMAR}")
    if prefix or name == "b":
        return Limit(_UNITS[name], number * _PREFIXES[prefix], relative=False, text=text)
    if number > 1:
        raise BudgetError(
            f"Without a prefix a budget is a fraction of the dense model and at most 1, but got {text!r}, "
            f"which is above the dense cost. {_GRAMMAR}"
        )
    return Limit(_UNITS[name], number, relative=True, text=text)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
