"""Runs side by side as a page: one self-contained HTML file, which loads nothing and can be mailed."""

from collections.abc import Sequence
from pathlib import Path

from automl.report.comparison import Comparison, RunResult, pairs_table, results_table
from automl.report.page import bullets, figure, page, paragraph, section, table
from automl.report.rows import TextTable
from automl.report.svg import WIDTH, Drawing, Entry, Scale, axes, legend, shortened
from automl.store.files import write_text

_NOTES = (
    "Accuracy is that of the exported network on the test images, which were opened once per run, after its search.",
    "Paired differences are of the same test images, which both networks answered: what is easy or hard for both "
    "cancels. An interval with 0 in it says that the order may be chance.",
    "Where many runs are compared, one in twenty of equal ones seems different by chance.",
)


def render_comparison(comparison: Comparison) -> str:
    """The page as HTML; every text of the user's is escaped."""
    results = comparison.results
    sections = [
        *(paragraph(str(pair), "verdict") for pair in comparison.pairs[:3]),
        section(
            "Results", table(results_table(results), "Results"), figure(results_svg(results), "Numbered as above.")
        ),
        section("Pairs", table(pairs_table(comparison.pairs), "Paired differences", words=True)),
        section("How to read this", bullets(_NOTES)),
        section("Where this comes from", table(_provenance(results), "Where this comes from", words=True)),
    ]
    names = ", ".join(each.label for each in results[:4])
    more = "" if len(results) <= 4 else f" and {len(results) - 4} more"
    return page(f"automl: {names}{more}", sections)


def write_comparison(path: Path, comparison: Comparison) -> None:
    """Writes the page to `path`; raises `RunError` where the disk refuses."""
    write_text(path, render_comparison(comparison))


def results_svg(results: Sequence[RunResult]) -> str:
    """Accuracy over MACs of every exported network, with its interval.

    Args:
        results: At least one.
    """
    drawing = Drawing()
    top = legend(drawing, [Entry("exported network, by its number", "best", "circle"), Entry("95%", "soft", "line")], 0)
    x_values = [100 * each.metrics.final.macs / (each.metrics.baseline.macs or 1) for each in results]
    ends = [100 * end for each in results for end in each.metrics.final.accuracy_ci95]
    x, y = Scale.of(x_values, 52, WIDTH - 24), Scale.of(ends, top + 242, top + 22)
    axes(drawing, x, y, ("MACs (% of the dense network)", "accuracy on the test images (%)"))
    places: dict[tuple[float, float], list[str]] = {}
    for place, (each, value) in enumerate(zip(results, x_values, strict=True), start=1):
        low, high = each.metrics.final.accuracy_ci95
        drawing.line((x(value), y(100 * low)), (x(value), y(100 * high)), "soft")
        at = x(value), y(100 * each.metrics.final.accuracy)
        drawing.marks([at], "best", "circle", each.label)
        places.setdefault(at, []).append(str(place))
    for at, numbers in places.items():  # equal runs are at one point
        said = ", ".join(numbers)
        right = at[0] > WIDTH / 2  # words end at the point there, and not beyond the picture
        corner = at[0] + (-6 if right else 6), at[1] - 4
        drawing.text(corner, shortened(said, 120), anchor="end" if right else "start", full=said)
    text = f"{len(results)} runs; the table has every number."
    return drawing.svg("results", "Accuracy of every run over its multiply-adds", text, y.start + 42)


def _provenance(results: Sequence[RunResult]) -> TextTable:
    rows = [
        (
            each.label,
            each.config.model,
            each.config.data,
            str(each.config.seed),
            each.manifest.started,
            each.manifest.machine.processor,
            each.manifest.packages.get("automl", "-"),
            " ".join(each.manifest.command),
        )
        for each in results
    ]
    return TextTable(("Run", "Model", "Data", "Seed", "Started", "Machine", "automl", "Command"), tuple(rows))
