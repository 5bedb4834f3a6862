"""The final table and the budget lines as text, for terminal and page alike."""

from dataclasses import dataclass

from automl.report.metrics import BudgetLine, Metrics, ModelRow
from automl.report.quantity import humanise, percent, share

FOOTNOTE = "Uniform and Best are measured before fine-tuning."
_TITLES = {"baseline": "Baseline", "uniform": "Uniform", "best": "Best", "finetuned": "Fine-tuned"}


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table of plain text."""

    header: tuple[str, ...]
    """One title per column."""
    rows: tuple[tuple[str, ...], ...]
    """As wide as the header; the first cell names the row."""


def result_table(metrics: Metrics) -> TextTable:
    """Baseline | Uniform | Best | Fine-tuned, one row per quantity; a network that is not there has no column."""
    shown = {_TITLES[name]: row for name, row in metrics.rows().items() if row is not None}
    dense, models = metrics.baseline, list(shown.values())
    rows = [
        (metrics.accuracy_is.capitalize(), *(percent(row.accuracy) for row in models)),
        ("95% CI", *(_interval(row) for row in models)),
        ("MACs", *(share(row.macs, dense.macs) for row in models)),
        ("Parameters", *(share(row.params, dense.params) for row in models)),
        ("Size", *(share(row.size_bytes, dense.size_bytes, "B") for row in models)),
    ]
    if any(row.latency_ms is not None for row in models):
        rows.append(("Latency", *(_milliseconds(row.latency_ms) for row in models)))
    return TextTable(("", *shown), tuple(rows))


def budget_table(lines: tuple[BudgetLine, ...]) -> TextTable:
    """Asked, predicted, measured and whether the limit is met, one row per limit."""
    rows = [
        (
            line.metric,
            _amount(line.metric, line.asked),
            _amount(line.metric, line.predicted),
            "-" if line.measured is None else _amount(line.metric, line.measured),
            "yes" if line.met else "NO",
        )
        for line in lines
    ]
    return TextTable(("Budget", "Asked, at most", "Predicted", "Measured", "Met"), tuple(rows))


def search_line(metrics: Metrics) -> str:
    """One sentence on the search."""
    search = metrics.search
    return (
        f"{search.engine}: {_counted(search.trials, 'trial')}, {_counted(search.evaluations, 'evaluation')}, "
        f"{search.seconds:.0f} s; {metrics.accuracy_is} on {_counted(metrics.splits.get('test', 0), 'test image')}."
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _interval(row: ModelRow) -> str:
    low, high = row.accuracy_ci95
    return f"{100 * low:.1f} to {100 * high:.1f}"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} ms"


def _amount(metric: str, value: float) -> str:
    if metric == "latency":
        return _milliseconds(value)
    return humanise(value, "B" if metric == "size" else "")
