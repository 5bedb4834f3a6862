"""A range of budgets that one search covers: a handful of levels, from the tightest to the loosest."""

from collections.abc import Sequence
from dataclasses import dataclass

from automl.core.budget import Budget, Limit, Metric
from automl.core.errors import BudgetError

LEVELS = 5
"""Budgets that trials are held to in turn."""
TRIALS_PER_LEVEL = 2
"""Fewest trials of each: the uniform policy, and what an engine begins with."""
_LEAST_SPAN = 1.1
"""Loosest over tightest: policies use 98% of their budget or more, so that nearer levels would have the same ones."""
_DIGITS = 4
_GRAMMAR = "Write a metric (flops, params, size or bops) and two fractions of the dense model, as in flops:0.15..0.6."


@dataclass(frozen=True, slots=True)
class BudgetRange:
    """From `least` to `most` of one metric of the dense network."""

    metric: Metric
    least: float
    """Fraction of the dense cost, above 0."""
    most: float
    """Fraction of the dense cost, above `least` and at most 1."""

    @classmethod
    def parse(cls, text: str) -> "BudgetRange":
        """Reads `flops:0.15..0.6`.

        Raises:
            BudgetError: If it is not a metric that can be counted and two fractions in (0, 1] that rise.
        """
        name, _, span = text.partition(":")
        metric = _metric(name.strip().lower(), text)
        low, _, high = span.partition("..")
        try:
            least, most = float(low), float(high)
        except ValueError:
            raise BudgetError(f"A range of budgets has two ends, but got {text!r}. {_GRAMMAR}") from None
        if not (0 < least <= 1 and 0 < most <= 1):
            raise BudgetError(
                f"The ends of a range of budgets must be above 0 and at most 1, but got {text!r}. {_GRAMMAR}"
            )
        if least > most:
            raise BudgetError(
                f"A range of budgets begins with the tightest, but got {text!r}. "
                f"Turn it round: {metric.value}:{high.strip()}..{low.strip()}."
            )
        if most < _LEAST_SPAN * least:
            raise BudgetError(
                f"The loosest budget of a range must be {_LEAST_SPAN} times the tightest or more, but got {text!r}. "
                f"Widen it, or search one budget: `--budget {low.strip()}{metric.value}`."
            )
        return cls(metric, least, most)

    def limits(self) -> tuple[Limit, ...]:
        """One per level, evenly apart by their logarithms, the tightest first."""
        factor = self.most / self.least
        inner = (self.least * factor ** (step / (LEVELS - 1)) for step in range(1, LEVELS - 1))
        values = [self.least, *(float(f"{value:.{_DIGITS}g}") for value in inner), self.most]
        return tuple(Limit(self.metric, value, relative=True, text=f"{value}{self.metric.value}") for value in values)


def budgets(texts: Sequence[str], pareto: str | None) -> tuple[Budget, ...]:
    """What trials are held to: one budget, or with a range one per level, the tightest first.

    Args:
        texts: Limits, as `Budget.parse` reads them; with a range there may be none.
        pareto: A range, as `BudgetRange.parse` reads it. Its limit is the first one of each budget.

    Raises:
        BudgetError: If either does not parse, or both limit the same metric.
    """
    if pareto is None:
        return (Budget.parse(texts),)
    levels = BudgetRange.parse(pareto)
    beside = Budget.parse(texts).limits if texts else ()
    for limit in beside:
        if limit.metric is levels.metric:
            raise BudgetError(
                f"A metric has one budget or a range of them, but `--budget {limit.text}` and `--pareto {pareto}` both "
                f"limit {limit.metric.value}. Leave one of them out."
            )
    return tuple(Budget((limit, *beside)) for limit in levels.limits())


def _metric(name: str, text: str) -> Metric:
    if name == Metric.LATENCY.value:
        raise BudgetError(
            f"A range of budgets is of what can be counted, but got {text!r}: each point of a front of latencies would "
            "have to be timed. Search one latency (`--budget 0.5latency`), or hold one beside a range "
            "(`--pareto flops:0.15..0.6 --budget 0.5latency`)."
        )
    known = {metric.value: metric for metric in Metric}
    if name not in known:
        raise BudgetError(f"The metric {name!r} of the range {text!r} is unknown. {_GRAMMAR}")
    return known[name]
