"""The plots of a run, as SVG text."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from automl.core.budget import Metric
from automl.report.details import LayerRow, TimedNetwork
from automl.report.front import FrontPoint
from automl.report.quantity import humanise, percent
from automl.report.rows import METRIC_WORDS, amount
from automl.report.svg import SERIES, TEXT, WIDTH, Drawing, Entry, Point, Scale, axes, legend, shortened
from automl.store.files import write_text
from automl.store.trials import CompletedTrial

_LEFT, _RIGHT, _HEIGHT, _BELOW = 52.0, WIDTH - 12.0, 220.0, 42.0
_WIDE_RANGE = 20.0
"""Largest value over the smallest one from which an axis is logarithmic."""
_ROW = 18.0
_TIMED_AS = {
    "profile": ("timed for the predictions", "trial", "circle"),
    "candidate": ("candidate", "blue", "diamond"),
    "result": ("exported file", "best", "star"),
}


def history_svg(trials: Sequence[CompletedTrial], uniform: CompletedTrial | None) -> str:
    """Divergence of every completed trial by the engine that proposed it, the best so far, and the uniform policy.

    Args:
        trials: In order; at least one.
        uniform: The uniform policy's; None where it is not known.
    """
    drawing = Drawing()
    divergences = [trial.evaluation.divergence for trial in trials]
    best = list(accumulate(divergences, min))
    entries = _engine_entries(trials)
    lines = [Entry("best so far", "best", "line")]
    lines += [Entry("uniform", "uniform", "dashes")] if uniform is not None else []
    top = legend(drawing, [*entries.values(), *lines], 0) + 22
    x = replace(Scale.of((1, len(trials)), _LEFT, _RIGHT), whole=True)
    wide = min(divergences) > 0 and max(divergences) / min(divergences) > _WIDE_RANGE
    y = Scale.of(divergences, top + _HEIGHT, top, logarithmic=wide)
    axes(drawing, x, y, ("completed trials", "divergence from the dense network (nats)"))
    if uniform is not None:
        _across(drawing, x, y(uniform.evaluation.divergence), "uniform")
    for engine, entry in entries.items():
        own = [(place, each) for place, each in enumerate(trials, start=1) if each.engine == engine]
        places = [(x(place), y(each.evaluation.divergence)) for place, each in own]
        drawing.marks(places, entry.color, entry.mark)
    drawing.path(_steps(x, y, best), "best")
    title = "The search: divergence of each trial, and the best so far"
    text = f"{len(trials)} completed trials; the lowest divergence is {min(divergences):.4f} nats."
    return drawing.svg("history", title, text, y.start + _BELOW)


def tradeoff_svg(
    trials: Sequence[CompletedTrial],
    uniform: CompletedTrial | None,
    chosen: str | None,
    metric: Metric,
    *,
    dense: float | None = None,
    asked: float | None = None,
    accuracy_is: str = "accuracy",
    front: Sequence[FrontPoint] = (),
    run: str = "RUN",
) -> str:
    """Accuracy on the search split over a cost, for every completed trial, with the ones that no other one beats.

    A search under a range of budgets says which these are, and each bears its number.

    Args:
        trials: At least one, each with that cost.
        uniform: The uniform policy's; None where it is not known.
        chosen: Digest of the policy that was exported; None before that.
        metric: What it costs.
        dense: The dense network's cost, which others are given in per cent of; None for absolute ones.
        asked: The budget.
        accuracy_is: `accuracy` or `agreement`.
        front: Of a range of budgets, by that cost and divergence; without one they go by cost and accuracy.
        run: Name of the run, for the command that exports a trial of the front.
    """
    drawing, unit = Drawing(), 100 / dense if dense else 1.0
    entries = _engine_entries(trials)
    found = next((trial for trial in trials if trial.evaluation.policy.digest() == chosen), None)
    marked = [("uniform", uniform, "uniform", "square"), ("exported, not tuned yet", found, "best", "star")]
    shown = [(Entry(words, color, mark), each) for words, each, color, mark in marked if each is not None]
    better = "nearer to the dense one" if front else "better"
    lines = [Entry(f"no other is {better} and smaller", "best", "line")]
    lines += [Entry("budget", "soft", "dashes")] if asked is not None else []
    top = legend(drawing, [*entries.values(), *(entry for entry, _ in shown), *lines], 0) + 22
    costs = [unit * metric.of(trial.evaluation.cost) for trial in trials]
    shares = [100 * trial.evaluation.accuracy for trial in trials]
    x = Scale.of([*costs, *([] if asked is None else [unit * asked])], _LEFT, _RIGHT)
    ends = [100 * end for _, each in shown for end in each.evaluation.accuracy_ci95]
    y = Scale.of([*shares, *ends], top + _HEIGHT, top)
    of_dense = (
        f"{METRIC_WORDS[metric.value]} (% of the dense {amount(metric.value, dense)})" if dense else _unit(metric)
    )
    axes(drawing, x, y, (of_dense, f"{accuracy_is} on the search split, not tuned (%)"))
    if asked is not None:
        drawing.line((x(unit * asked), y.start), (x(unit * asked), y.end), "soft", dashed=True)
    for engine, entry in entries.items():
        own = [
            place
            for place, trial in zip(zip(costs, shares, strict=True), trials, strict=True)
            if trial.engine == engine
        ]
        drawing.marks([(x(cost), y(share)) for cost, share in own], entry.color, entry.mark)
    unbeaten = [(unit * each.cost, 100 * each.accuracy) for each in front]
    unbeaten = unbeaten or pareto(list(zip(costs, shares, strict=True)))
    drawing.path([(x(cost), y(share)) for cost, share in unbeaten], "best")
    if front:
        _numbered(drawing, front, [(x(cost), y(share)) for cost, share in unbeaten], run)
    else:
        drawing.marks([(x(cost), y(share)) for cost, share in unbeaten], "best", "circle")
    if uniform is not None:
        _across(drawing, x, y(100 * uniform.evaluation.accuracy), "uniform")
    for entry, each in shown:
        worth, at = each.evaluation, x(unit * metric.of(each.evaluation.cost))
        drawing.path([(at, y(100 * end)) for end in worth.accuracy_ci95], entry.color)
        drawing.marks(
            [(at, y(100 * worth.accuracy))], entry.color, entry.mark, f"{entry.words}: {percent(worth.accuracy)}"
        )
    text = f"{len(trials)} evaluated policies, {len(unbeaten)} of which no other one beats in both."
    return drawing.svg("tradeoff", "What every evaluated policy keeps, over what it costs", text, y.start + _BELOW)


def _numbered(drawing: Drawing, front: Sequence[FrontPoint], places: Sequence[Point], run: str) -> None:
    """A mark with its trial's number for each of the front; the command that exports it is shown where one points."""
    for each, (left, height) in zip(front, places, strict=True):
        said = f"trial {each.trial}: {percent(each.accuracy)}, automl export {run} --trial {each.trial}"
        drawing.marks([(left, height)], "best", "circle", said)
        drawing.text((left, height - 8), str(each.trial), anchor="middle", full=said)


def pareto(points: Sequence[Point]) -> list[Point]:
    """Those of (cost, worth) that no other one beats: cheaper or as cheap, and worth more. By rising cost."""
    front: list[Point] = []
    for cost, worth in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or worth > front[-1][1]:
            front.append((cost, worth))
    return front


def layers_svg(rows: Sequence[LayerRow]) -> str:
    """What a policy keeps along the network: a row per layer with its channels, bits, MACs and sensitivity.

    Args:
        rows: At least one, in the order of the network.
    """
    drawing = Drawing()
    top = legend(drawing, [Entry("kept", "best", "square"), Entry("of the dense network", "soft", "line")], 0)
    losses = any(row.loss_at_half is not None for row in rows)
    bits = any(row.weight_bits < 32 for row in rows)
    timed = any(row.latency_ms is not None for row in rows)
    heads = [(8, "layer"), (138, "channels kept"), (286, "MACs"), (360, "loss (nats)" if losses else "")]
    for left, words in [*heads, *([(324, "ms")] if timed else [])]:
        drawing.text((left, top + TEXT), words, color="soft")
    widest = max(row.outputs[0] for row in rows)
    wide = 28 if timed else 60
    most = max(row.macs[0] for row in rows) or 1
    slowest = max((max(row.latency_ms) for row in rows if row.latency_ms is not None), default=0.0) or 1.0
    worst = max((row.loss_at_half or 0.0 for row in rows), default=0.0) or 1.0
    for place, row in enumerate(rows):
        y = top + 20 + place * _ROW
        drawing.text((8, y + TEXT), shortened(row.layer, 124), full=row.layer)
        _pair(drawing, (138, y + 2), 70 / widest, row.outputs)
        drawing.text((212, y + TEXT), _kept_words(row, bits=bits), color="soft", full=_said(row))
        _pair(drawing, (286, y + 2), wide / most, row.macs)
        if row.latency_ms is not None:
            _pair(drawing, (324, y + 2), wide / slowest, row.latency_ms)
        if row.loss_at_half is not None:
            drawing.bar((360, y + 4), max(1.5, 28 * row.loss_at_half / worst), _ROW - 8, "ochre")
            drawing.text((_RIGHT, y + TEXT), _short(row.loss_at_half), color="soft", anchor="end")
    kept, dense = (sum(row.macs[which] for row in rows) for which in (1, 0))
    text = f"{len(rows)} layers keep {humanise(kept)} of {humanise(dense)} MACs; the table below has every number."
    return drawing.svg("layers", "The policy along the network", text, top + 28 + len(rows) * _ROW)


def latency_svg(timed: Sequence[TimedNetwork]) -> str:
    """Predicted against measured latency: of the networks that predictions are fitted to, the candidates, the result.

    Args:
        timed: At least one.
    """
    drawing = Drawing()
    kinds = [kind for kind in _TIMED_AS if any(each.timed_as == kind for each in timed)]
    entries = [Entry(*_TIMED_AS[kind]) for kind in kinds]
    top = legend(drawing, [*entries, Entry("as predicted", "soft", "dashes")], 0) + 22
    both = [value for each in timed for value in (each.predicted_ms, each.measured_ms)]
    x, y = Scale.of(both, _LEFT, _RIGHT), Scale.of(both, top + _HEIGHT, top)
    axes(drawing, x, y, ("predicted (ms)", "measured (ms)"))
    drawing.line((x(x.low), y(x.low)), (x(x.high), y(x.high)), "soft", dashed=True)
    for kind, entry in zip(kinds, entries, strict=True):
        own = [each for each in timed if each.timed_as == kind]
        drawing.marks([(x(each.predicted_ms), y(each.measured_ms)) for each in own], entry.color, entry.mark)
    text = f"{len(timed)} networks; on the dashed line the prediction is what was measured."
    return drawing.svg("latency", "Predicted and measured latency of one image", text, y.start + _BELOW)


def write_plots(folder: Path, plots: Mapping[str, str]) -> None:
    """Writes each SVG text as `folder/NAME.svg`; raises `RunError` where the disk refuses."""
    for name, svg in plots.items():
        write_text(folder / f"{name}.svg", svg)


def _engine_entries(trials: Sequence[CompletedTrial]) -> dict[str, Entry]:
    engines = list(dict.fromkeys(trial.engine for trial in trials))
    return {engine: Entry(engine or "trial", *SERIES[place % len(SERIES)]) for place, engine in enumerate(engines)}


def _steps(x: Scale, y: Scale, best: Sequence[float]) -> list[Point]:
    """The best so far, which stays until a better one is found; corners only."""
    points = [(x(1), y(best[0]))]
    for place in range(1, len(best)):
        if best[place] != best[place - 1]:
            points += [(x(place + 1), y(best[place - 1])), (x(place + 1), y(best[place]))]
    return [*points, (x(len(best)), y(best[-1]))]


def _across(drawing: Drawing, x: Scale, height: float, color: str) -> None:
    drawing.line((x.start, height), (x.end, height), color, dashed=True)


def _pair(drawing: Drawing, corner: Point, scale: float, values: tuple[float, float]) -> None:
    """What is kept as a bar, inside the outline of what the dense network has."""
    drawing.bar(corner, scale * values[1], _ROW - 4, "best")
    drawing.bar(corner, scale * values[0], _ROW - 4, "soft", outline=True)


def _kept_words(row: LayerRow, *, bits: bool) -> str:
    if row.outputs[1] == 0:
        return "dropped"
    said = f" w{row.weight_bits}a{row.activation_bits}" if bits and row.weight_bits < 32 else ""
    return f"{row.outputs[1]}{said}" if said else f"{row.outputs[1]} of {row.outputs[0]}"


def _short(nats: float) -> str:
    """Two figures in six characters at most."""
    return f"{nats:.2g}" if nats >= 1e-3 or not nats else f"{nats:.0e}"


def _said(row: LayerRow) -> str:
    return f"{row.layer}: {row.outputs[1]} of {row.outputs[0]} channels, w{row.weight_bits}a{row.activation_bits}"


def _unit(metric: Metric) -> str:
    return "latency (ms)" if metric is Metric.LATENCY else METRIC_WORDS[metric.value]
