"""The report of one run: one self-contained HTML page, which loads nothing and can be mailed."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path

from automl.core.budget import Limit, Metric
from automl.core.budget_range import BudgetRange
from automl.core.errors import BudgetError
from automl.report.details import Details, Example
from automl.report.front import FrontPoint, front
from automl.report.metrics import Metrics
from automl.report.page import (
    bullets,
    facts,
    figure,
    folded,
    group,
    page,
    paragraph,
    section,
    table,
)
from automl.report.plots import history_svg, latency_svg, layers_svg, tradeoff_svg
from automl.report.quantity import percent
from automl.report.rows import (
    FRONT_NOTE,
    bits_line,
    budget_table,
    differences_table,
    layers_table,
    points_table,
    policy_table,
    result_table,
    search_line,
    speed_line,
    timing_line,
    timing_table,
)
from automl.report.verdict import differences, verdict
from automl.store.answers import ImageAnswers
from automl.store.config import RunConfig
from automl.store.files import write_text
from automl.store.manifest import Manifest
from automl.store.trials import CompletedTrial

CAPTIONS = {
    "tradeoff": "Every evaluated policy; those that no other one beats in cost and accuracy are on the line. The "
    "search goes by divergence, and the choice by other images, so that the exported one need not be among them. "
    "Upright bars are 95% intervals.",
    "history": "The search, trial by trial, by the engine that proposed each; with a range of budgets, those trials "
    "that were held to the tightest.",
    "layers": "From the input down to the classes. The loss stands where a channel group begins: what the network "
    "loses where that group alone is halved. Milliseconds, where there are any, are predicted by the device's profile.",
    "latency": "Predictions are fitted to the round ones; the others they had not seen.",
}
"""Name of a plot -> what its reader should know."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the page tells."""

    name: str
    """Name of the run."""
    config: RunConfig
    manifest: Manifest
    trials: tuple[CompletedTrial, ...]
    failures: tuple[str, ...]
    """Reasons of the failed trials."""
    metrics: Metrics | None
    """The result; None where the run has none yet. Then there is a trial."""
    chosen: str | None
    """Digest of the policy of the result."""
    details: Details | None
    """None where the run has no result, or did not keep them."""
    answers: ImageAnswers | None
    """To the test images; None where the run has no result, or did not keep them."""

    @property
    def uniform(self) -> CompletedTrial | None:
        """The trial of the uniform policy, which every search begins with; None where it failed."""
        return next((trial for trial in self.trials if trial.number == 0 and trial.given), None)

    @property
    def tightest(self) -> tuple[CompletedTrial, ...]:
        """The trials under the tightest budget of a range; all where there is one budget."""
        return tuple(trial for trial in self.trials if trial.level == 0)

    @property
    def front(self) -> tuple[FrontPoint, ...]:
        """With a range of budgets, the trials that no other one beats, as far as the search is."""
        if self.config.pareto is None:
            return ()
        try:
            metric = BudgetRange.parse(self.config.pareto).metric
        except BudgetError:  # of a configuration that was edited by hand
            return ()
        return front(self.trials, metric)


def report_plots(report: Report) -> dict[str, str]:
    """Name -> SVG text of every plot that there is something for."""
    metric, dense, asked = _cost_axis(report)
    plots = {}
    if report.trials:
        accuracy_is = "accuracy" if report.metrics is None else report.metrics.accuracy_is
        plots["tradeoff"] = tradeoff_svg(
            report.trials,
            report.uniform,
            report.chosen,
            metric,
            dense=dense,
            asked=asked,
            accuracy_is=accuracy_is,
            front=report.front,
            run=report.name,
        )
    if report.tightest:
        plots["history"] = history_svg(report.tightest, report.uniform)
    if report.details is not None and report.details.layers:
        plots["layers"] = layers_svg(report.details.layers)
    if report.details is not None and report.details.timed:
        plots["latency"] = latency_svg(report.details.timed)
    return plots


def render_report(report: Report, plots: Mapping[str, str]) -> str:
    """The page as HTML; every text of the user's is escaped.

    Args:
        report: What it tells.
        plots: Of `report_plots`.
    """
    metrics = report.metrics
    sections = [
        paragraph(sentence(report), "verdict"),
        paragraph(f"{report.config.model} on {report.config.data}, budget {', '.join(report.config.asked)}", "soft"),
        _failures(report.failures),
        *([] if metrics is None else _result(metrics)),
        _front(report),
        _differences(report.answers),
        _missing(report),
        section("The search", group("plots", _figures(plots, ("tradeoff", "history")))),
        _policy(report.details, plots),
        _latency(metrics, plots),
        *([] if metrics is None else [_bits(metrics)]),
        _disagreements(report),
        *([] if metrics is None else [section("How to read this", bullets(_notes(metrics)), facts(_splits(metrics)))]),
        section("Where this comes from", facts(_provenance(report))),
    ]
    return page(f"automl: {report.name}", sections)


def write_report(path: Path, report: Report, plots: Mapping[str, str]) -> None:
    """Writes the page to `path`; raises `RunError` where the disk refuses."""
    write_text(path, render_report(report, plots))


def sentence(report: Report) -> str:
    """The one on top: what the run has come to, or how far it is."""
    if report.metrics is not None:
        return verdict(report.metrics, report.answers)
    best = min(report.tightest or report.trials, key=lambda trial: trial.evaluation.divergence)
    beside = "" if report.uniform is None else f", uniform narrowing {percent(report.uniform.evaluation.accuracy)}"
    return (
        f"Not finished: {len(report.trials)} of {report.config.trials} trials are completed; the best so far keeps "
        f"{percent(best.evaluation.accuracy)} on the search split before fine-tuning{beside}."
    )


def _result(metrics: Metrics) -> list[str]:
    return [
        section(
            "Result",
            table(result_table(metrics), "Result"),
            paragraph(search_line(metrics)),
            paragraph(speed_line(metrics)),
        ),
        section("Budgets", table(budget_table(metrics.budgets), "Budgets")) if metrics.budgets else "",
    ]


def _front(report: Report) -> str:
    points = report.front
    if not points:
        return ""
    dense = None if report.metrics is None else report.metrics.baseline.of(Metric(points[0].metric))
    return section("The front", table(points_table(points, dense, report.name), "The front"), paragraph(FRONT_NOTE))


def _failures(reasons: tuple[str, ...]) -> str:
    if not reasons:
        return ""
    return folded(f"{len(reasons)} trial(s) failed", bullets(dict.fromkeys(reasons)))


def _differences(answers: ImageAnswers | None) -> str:
    if answers is None:
        return ""
    return section(
        "How sure that is",
        table(differences_table(differences(answers)), "Differences on the same test images"),
        paragraph(
            "Both networks of a row answered the same test images, so that what is easy or hard for both cancels: what "
            "counts is where one alone is right. An interval with 0 in it says that the order may be chance."
        ),
    )


def _missing(report: Report) -> str:
    """What a page lacks where not everything was kept, and how to get it."""
    if report.metrics is None or (report.answers is not None and report.details is not None):
        return ""
    return paragraph(
        "An older version finished this run, or it was stopped while it wrote its result: less is kept than a whole "
        f"report tells. `automl resume {report.name}` writes it: layer by layer, image by image.",
        "soft",
    )


def _policy(details: Details | None, plots: Mapping[str, str]) -> str:
    if details is None or not details.layers:
        return ""
    rows = folded("Every layer in numbers", table(policy_table(details.layers), "The policy, layer by layer"))
    return section("The policy", *_figures(plots, ("layers",)), rows)


def _latency(metrics: Metrics | None, plots: Mapping[str, str]) -> str:
    timing = None if metrics is None else metrics.timing
    parts = _figures(plots, ("latency",))
    if timing is not None:
        parts += [table(timing_table(timing), "What was timed"), paragraph(timing_line(timing))]
    return section("Latency", *parts)


def _bits(metrics: Metrics) -> str:
    if not metrics.layers:
        return ""
    rows = folded("Every layer in bits", table(layers_table(metrics), "Bits of every layer"))
    return section("Bits", paragraph(bits_line(metrics)), rows)


def _disagreements(report: Report) -> str:
    answers, details = report.answers, report.details
    if answers is None:
        return ""
    dense, final = answers.networks["baseline"], answers.networks[answers.final]
    unlike, right, before = dense != final, answers.right(answers.final), answers.right("baseline")
    said = (
        f"The dense and the exported network give another answer to {int(unlike.sum()):,} of {len(dense):,} test images"
    )
    if report.metrics is not None and report.metrics.accuracy_is == "accuracy":
        lost, won = int((before & ~right).sum()), int((right & ~before).sum())
        said += f": {lost:,} that only the dense one has right, {won:,} that only the exported one has"
    images = group("images", map(_example, () if details is None else details.examples))
    shown = "" if details is None or not details.examples else f" Shown are {len(details.examples)}, evenly over them."
    return section("Where they disagree", paragraph(f"{said}.{shown}"), images)


def _example(example: Example) -> str:
    label = "No label" if example.label is None else f"Label {example.label}"
    words = f"{label}; the dense network says {example.dense}, the exported one {example.compressed}"
    source = escape(f"data:image/png;base64,{example.png}")
    alt = escape(f"Test image {example.index}")
    return f'<figure><img src="{source}" alt="{alt}"><figcaption>{escape(words)}</figcaption></figure>'


def _figures(plots: Mapping[str, str], names: Iterable[str]) -> list[str]:
    return [figure(plots[name], CAPTIONS[name]) for name in names if name in plots]


def _notes(metrics: Metrics) -> list[str]:
    notes = [
        "The test images were opened once, after the search and the training; every row is measured on them.",
        "The search saw only its own split, and selection another one; no policy was chosen by test images.",
        "Uniform narrows every group by one factor, at one bit-width, to the same budget. Best and Uniform are not "
        "fine-tuned.",
        "The interval of one accuracy is Wilson's, at 95%. Where two of them overlap, the order may be chance; the "
        "paired differences are sharper.",
        "MACs are the multiply-adds of convolution and linear layers per image; flops budgets count them once.",
    ]
    if metrics.layers:
        notes.append(
            "Quantization loss is the accuracy of the same network in float less that of the quantized one. Policy, "
            "file and kernel may have different bits: weights of 4 bits and less are stored in 4 and computed in 8; "
            "what no kernel computes in so few bits is called simulated."
        )
    if metrics.accuracy_is == "agreement":
        notes.insert(0, "The data has no labels: agreement is the share of answers equal to the dense network's.")
    return notes


def _splits(metrics: Metrics) -> dict[str, str]:
    return {f"{name} split": f"{images:,} images" for name, images in metrics.splits.items()}


def _provenance(report: Report) -> dict[str, str]:
    manifest = report.manifest
    return {
        "Started": manifest.started,
        "Command": " ".join(manifest.command),
        "Seed": str(manifest.seed),
        "Machine": f"{manifest.machine.processor}, {manifest.machine.cores} cores, {manifest.machine.platform}",
        "Packages": ", ".join(f"{name} {version}" for name, version in manifest.packages.items()),
        "Weights": manifest.fingerprint.weights,
        "Data": manifest.fingerprint.data,
    }


def _cost_axis(report: Report) -> tuple[Metric, float | None, float | None]:
    """The metric of the first budget that every trial has, what the dense network has of it, and what was asked."""
    metrics = report.metrics
    limits: tuple[Limit, ...] = ()
    with suppress(BudgetError):  # of a configuration that was edited by hand
        limits = report.config.levels[0].limits
    for limit in limits:
        metric = limit.metric
        if metric is Metric.LATENCY and any(trial.evaluation.cost.latency_ms is None for trial in report.trials):
            continue
        if metrics is None:
            return metric, None, None if limit.relative else limit.value
        asked = next((line.asked for line in metrics.budgets if line.metric == metric.value), None)
        return metric, metrics.baseline.of(metric), asked
    return Metric.FLOPS, None if metrics is None else metrics.baseline.macs, None
