"""The final table and the budget lines as text, for terminal and page alike."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from automl.core.bits import FLOAT_BITS
from automl.core.budget import Metric
from automl.evaluate.interval import PairedDifference
from automl.report.details import LayerRow
from automl.report.front import FrontPoint
from automl.report.metrics import BudgetLine, Metrics, ModelRow, SearchSummary
from automl.report.quantity import humanise, percent, share
from automl.report.timing import Timing

FOOTNOTE = "Uniform and Best are measured before fine-tuning."
FRONT_NOTE = (
    "The front: no other trial is as cheap and as near to the dense network. Measured on the search split, before "
    "fine-tuning; the table above has the network of the tightest budget."
)
METRIC_WORDS = {"flops": "MACs", "params": "parameters", "size": "bytes", "bops": "BOPs", "latency": "latency"}
"""Metric of a budget -> how sentences and plots call it."""
TITLES = {
    "baseline": "Baseline",
    "uniform": "Uniform",
    "best": "Best",
    "finetuned": "Fine-tuned",
    "quantized": "Quantized",
}
"""Key in `metrics.json` -> title of the column."""
_TIMED = {"dense": "Dense, float", "exported": "Exported", "float": "Exported, in float"}


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table of plain text."""

    header: tuple[str, ...]
    """One title per column."""
    rows: tuple[tuple[str, ...], ...]
    """As wide as the header; the first cell names the row."""


def result_table(metrics: Metrics) -> TextTable:
    """Baseline | Uniform | Best | Fine-tuned | Quantized, a row per quantity; what is not there has no column.

    With five columns the compressed networks have shares alone, or the table would not fit a terminal.
    """
    shown = {TITLES[name]: row for name, row in metrics.rows().items() if row is not None}
    dense, models, short = metrics.baseline, list(shown.values()), metrics.quantized is not None

    def costs(name: str, of: Callable[[ModelRow], int], unit: str = "") -> tuple[str, ...]:
        whole = of(dense)
        cells = (
            percent(of(row) / whole) if short and row is not dense else share(of(row), whole, unit) for row in models
        )
        return (name, *cells)

    rows = [
        (metrics.accuracy_is.capitalize(), *(percent(row.accuracy) for row in models)),
        ("95% CI", *(_interval(row, "-" if short else " to ") for row in models)),
        costs("MACs", lambda row: row.macs),
        costs("Parameters", lambda row: row.params),
        costs("Size", lambda row: row.size_bytes, "B"),
    ]
    if short:
        rows.insert(2, ("Quantization loss", *(_points(row.quantization_loss) for row in models)))
        rows.append(costs("BOPs", lambda row: row.bops))
        rows.append(("Bits per weight", *(_bits(row) for row in models)))
    if any(row.latency_ms is not None for row in models):
        rows.append(("Latency", *(milliseconds(row.latency_ms) for row in models)))
    return TextTable(("", *shown), tuple(rows))


def budget_table(lines: tuple[BudgetLine, ...]) -> TextTable:
    """Asked, predicted, measured and whether the limit is met, one row per limit."""
    rows = [
        (
            line.metric,
            amount(line.metric, line.asked),
            amount(line.metric, line.predicted),
            "-" if line.measured is None else amount(line.metric, line.measured),
            "yes" if line.met else "NO",
        )
        for line in lines
    ]
    return TextTable(("Budget", "Asked, at most", "Predicted", "Measured", "Met"), tuple(rows))


def front_table(metrics: Metrics, run: str | None = None) -> TextTable:
    """The front of a range of budgets, a row per trial, the cheapest first.

    Args:
        metrics: With a front.
        run: Name of the run, for a column with the command that exports each; None leaves it out.
    """
    return points_table(metrics.front, metrics.baseline.of(Metric(metrics.front[0].metric)), run)


def points_table(points: Sequence[FrontPoint], dense: float | None, run: str | None = None) -> TextTable:
    """As `front_table`, of a search that may have no result yet.

    Args:
        points: At least one.
        dense: What the dense network costs, which the others are given in per cent of; None for absolute ones.
        run: Name of the run; None leaves the commands out.
    """
    metric, unit = points[0].metric, "B" if points[0].metric == Metric.SIZE.value else ""
    rows = [
        (
            str(each.trial),
            amount(metric, each.cost) if dense is None else share(each.cost, dense, unit),
            f"{each.divergence:.4f}",
            percent(each.accuracy),
            " to ".join(f"{100 * end:.1f}" for end in each.accuracy_ci95),
            *([] if run is None else [f"automl export {run} --trial {each.trial}"]),
        )
        for each in points
    ]
    cost = METRIC_WORDS[metric]
    commands = [] if run is None else ["Export"]
    return TextTable(
        ("Trial", f"{cost[0].upper()}{cost[1:]}", "Divergence", "Accuracy", "95% CI", *commands), tuple(rows)
    )


def search_line(metrics: Metrics) -> str:
    """One sentence on the search, and one more where its engine lost to what is there without it."""
    search = metrics.search
    return (
        f"{search.engine}: {_counted(search.trials, 'trial')}, {_counted(search.evaluations, 'evaluation')}, "
        f"{search.seconds:.0f} s; {metrics.accuracy_is} on {_counted(metrics.splits.get('test', 0), 'test image')}."
        f"{_winner(search)}"
    )


def _winner(search: SearchSummary) -> str:
    if search.winner is None or search.winner == search.engine:
        return ""
    whose = "the uniform policy" if search.winner == "uniform" else "the solver's plain answer"
    return f" Best is {whose}: no policy of {search.engine} did better on the selection split."


def bits_line(metrics: Metrics) -> str:
    """One sentence on the bit-widths of the exported file; empty for a float policy."""
    layers = metrics.layers
    if not layers:
        return ""
    counts = Counter(f"w{each.weight}a{each.activation}" for each in layers)
    integer = sum(each.executed <= 8 for each in layers)
    simulated = sum(each.simulated for each in layers)
    said = f"; {_counted(simulated, 'layer')} simulated: no kernel computes in so few bits" if simulated else ""
    return (
        f"Bits: {', '.join(f'{name} in {count}' for name, count in sorted(counts.items()))} of "
        f"{_counted(len(layers), 'layer')}. ONNX Runtime runs {integer} of them in 8-bit integer kernels{said}."
    )


def speed_line(metrics: Metrics) -> str:
    """How much faster the exported network is, and what of it is due to what; empty where nothing was timed."""
    dense, pruned, final = metrics.baseline.latency_ms, (metrics.finetuned or metrics.best).latency_ms, metrics.final
    if dense is None or final.latency_ms is None:
        return ""
    said = f"Latency of one image: {dense / final.latency_ms:.2f} times as fast as the dense float network"
    if metrics.quantized is not None and pruned is not None:
        said += f" ({dense / pruned:.2f} times by pruning, {pruned / final.latency_ms:.2f} times by integers)"
    if metrics.timing is None:
        return f"{said}. All of it is predicted by the device's profile."
    untuned = {"Uniform": metrics.uniform, "Best": metrics.best if metrics.finetuned else None}
    predicted = [name for name, row in untuned.items() if row is not None and row.latency_ms is not None]
    timed = f"timed in turns in {metrics.timing.runtime.label}"
    if not predicted:
        return f"{said}, {timed}."
    verb = "are" if len(predicted) > 1 else "is"
    return f"{said}. {' and '.join(predicted)} {verb} predicted, the others were {timed}."


def timing_table(timing: Timing) -> TextTable:
    """One row per network that was timed: what its calls say by themselves."""
    rows = [
        (
            _TIMED[name],
            milliseconds(each.ms),
            milliseconds(each.p10_ms),
            milliseconds(each.min_ms),
            milliseconds(each.raw_median_ms),
            f"{each.calls:,}",
            percent(each.clean),
        )
        for name, each in timing.networks.items()
    ]
    return TextTable(("Timed", "Clean median", "p10", "Fastest", "Raw median", "Calls", "Clean"), tuple(rows))


def timing_line(timing: Timing) -> str:
    """One sentence on what the times are of."""
    return (
        f"{timing.runtime.label} {timing.version} on {timing.cpu}, {_counted(timing.threads, 'thread')}, batch 1, in "
        f"turns in one fresh process. The dense network's time moved by {percent(timing.drift)} meanwhile; latencies "
        "above follow from the fastest calls. Clean calls are those that nothing interrupted."
    )


def layers_table(metrics: Metrics) -> TextTable:
    """One row per layer of the exported file: bits of the policy, of the file, and of the kernel that ran."""
    rows = [
        (
            each.layer,
            str(each.weight),
            str(each.activation),
            str(each.stored),
            "float" if each.executed > 8 else str(each.executed),
            "simulated" if each.simulated else "",
        )
        for each in metrics.layers
    ]
    return TextTable(("Layer", "Weight bits", "Input bits", "Stored", "Executed", ""), tuple(rows))


def policy_table(layers: Sequence[LayerRow]) -> TextTable:
    """One row per layer: channels, bits, MACs, and where they are known latency and sensitivity."""
    timed = any(each.latency_ms is not None for each in layers)
    rows = [
        (
            each.layer,
            each.kind,
            each.group or "-",
            f"{each.inputs[1]} of {each.inputs[0]}",
            f"{each.outputs[1]} of {each.outputs[0]}" if each.outputs[1] else "dropped",
            "float" if each.weight_bits >= FLOAT_BITS else f"w{each.weight_bits}a{each.activation_bits}",
            humanise(each.macs[0]),
            humanise(each.macs[1]),
            *([milliseconds(time) for time in each.latency_ms or (None, None)] if timed else []),
            _nats(each.loss_at_half),
            _nats(each.loss_as_chosen),
        )
        for each in layers
    ]
    times = ("Dense latency, predicted", "Latency, predicted") if timed else ()
    losses = ("Loss at half, nats", "Loss as chosen, nats")
    return TextTable(
        ("Layer", "Kind", "Group", "Inputs", "Outputs", "Bits", "Dense MACs", "MACs", *times, *losses), tuple(rows)
    )


def differences_table(differences: Mapping[str, PairedDifference]) -> TextTable:
    """One row per pair of networks: the difference of their accuracies with its interval, and who alone is right."""
    rows = [(title, *difference_cells(each)) for title, each in differences.items()]
    return TextTable(
        ("Difference", "Points", "95% interval", "First alone right", "Second alone right", ""), tuple(rows)
    )


def difference_cells(difference: PairedDifference) -> tuple[str, ...]:
    """Points, interval, images that ours alone and theirs alone is right on, and what that says."""
    low, high = difference.ci95
    return (
        f"{100 * difference.difference:+.1f}",
        f"{100 * low:+.1f} to {100 * high:+.1f}",
        f"{difference.only_ours:,}",
        f"{difference.only_theirs:,}",
        _told(difference),
    )


def budgets_met(lines: Sequence[BudgetLine]) -> str:
    """Whether all budgets hold: `yes`, or the ones that do not."""
    broken = [line.metric for line in lines if not line.met]
    return f"NO: {', '.join(broken)}" if broken else "yes"


def _told(difference: PairedDifference) -> str:
    if difference.same:
        return "the same answers"
    if not difference.told:
        return "may be chance"
    return "better" if difference.difference > 0 else "worse"


def _nats(loss: float | None) -> str:
    return "-" if loss is None else f"{loss:.3g}"


def _points(loss: float | None) -> str:
    """Percentage points."""
    return "-" if loss is None else f"{100 * loss:+.1f} pt"


def _bits(row: ModelRow) -> str:
    return "32" if row.mean_weight_bits is None else f"{row.mean_weight_bits:.1f}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _interval(row: ModelRow, between: str) -> str:
    low, high = row.accuracy_ci95
    return f"{100 * low:.1f}{between}{100 * high:.1f}"


def milliseconds(value: float | None) -> str:
    """A latency, or a dash where it is not known."""
    return "-" if value is None else Metric.LATENCY.text(value)


def amount(metric: str, value: float) -> str:
    """A value of a budget's metric as people read it: `75.20M`, `2.0 MB`, `4.13 ms`."""
    if metric == "latency":
        return milliseconds(value)
    return humanise(value, "B" if metric == "size" else "")
