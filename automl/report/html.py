"""The report: one self-contained HTML page, which loads nothing and can be mailed."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

from automl.report.metrics import Metrics
from automl.report.rows import (
    TextTable,
    bits_line,
    budget_table,
    layers_table,
    result_table,
    search_line,
    speed_line,
    timing_line,
    timing_table,
)
from automl.report.timing import Timing
from automl.store.config import RunConfig
from automl.store.files import write_text
from automl.store.manifest import Manifest

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #1f2933; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } th, td { padding: .25rem .8rem; text-align: right; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: nowrap; }
thead th { border-bottom: 1px solid #9aa5b1; } td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
figure { margin: 1rem 0; } figure svg { max-width: 100%; height: auto; } figcaption { color: #52606d; }
.facts td { text-align: left; }
</style>
</head>
<body>
<h1>$title</h1>
$body
</body>
</html>
""")
_PLOT_TITLES = {
    "history": "The search: divergence of each trial and the best so far",
    "tradeoff": "What the trials keep, over what they cost",
    "channels": "Channels kept per group, inside the dense ones",
}


@dataclass(frozen=True, slots=True)
class Report:
    """What the page tells."""

    name: str
    """Name of the run."""
    config: RunConfig
    manifest: Manifest
    metrics: Metrics
    plots: Mapping[str, str]
    """Name -> SVG text, as `plots` makes them."""


def render_report(report: Report) -> str:
    """The page as HTML; every text of the user's is escaped."""
    metrics = report.metrics
    sections = [
        _paragraph(f"{report.config.model} on {report.config.data}, budget {', '.join(report.config.budget)}"),
        _section("Result", _table(result_table(metrics)), _paragraph(search_line(metrics)), *_speed(metrics)),
        _section("Budgets", _table(budget_table(metrics.budgets))),
        *([] if metrics.timing is None else [_timing(metrics.timing)]),
        *([_section("Bits", _paragraph(bits_line(metrics)), _table(layers_table(metrics)))] if metrics.layers else []),
        _section("How to read this", _list(_notes(metrics)), _facts(_split_sizes(metrics))),
        _section("Plots", *(_figure(name, svg) for name, svg in report.plots.items())),
        _section("Environment", _facts(_environment(report))),
    ]
    return _PAGE.substitute(title=escape(f"automl: {report.name}"), body="\n".join(sections))


def write_report(path: Path, report: Report) -> None:
    """Writes the page to `path`; raises `RunError` where the disk refuses."""
    write_text(path, render_report(report))


def _notes(metrics: Metrics) -> list[str]:
    notes = [
        "The test images were opened once, after the search and the training; every row is measured on them.",
        "The search saw only its own split, and selection another one; no policy was chosen by test images.",
        "Uniform narrows every group by one factor, at one bit-width, to the same budget. Best and Uniform are not "
        "fine-tuned.",
        "The interval is Wilson's, at 95%. Where two of them overlap, the order may be chance.",
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


def _speed(metrics: Metrics) -> list[str]:
    said = speed_line(metrics)
    return [_paragraph(said)] if said else []


def _timing(timing: Timing) -> str:
    return _section("Latency", _table(timing_table(timing)), _paragraph(timing_line(timing)))


def _split_sizes(metrics: Metrics) -> dict[str, str]:
    return {f"{name} split": f"{images:,} images" for name, images in metrics.splits.items()}


def _environment(report: Report) -> dict[str, str]:
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


def _section(title: str, *parts: str) -> str:
    return "\n".join([f"<h2>{escape(title)}</h2>", *parts])


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _list(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def _table(table: TextTable) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in table.header)
    rows = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in table.rows)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in facts.items())
    return f'<table class="facts"><tbody>{rows}</tbody></table>'


def _figure(name: str, svg: str) -> str:
    # HTML takes the element alone, without the XML declaration and the document type before it.
    element = re.sub(r"\A.*?(?=<svg)", "", svg, flags=re.DOTALL)
    return f"<figure>{element}<figcaption>{escape(_PLOT_TITLES.get(name, name))}</figcaption></figure>"
