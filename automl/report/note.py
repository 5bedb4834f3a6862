"""A run as a note in Markdown, as dashboards show them beside the trials."""

import re
from collections.abc import Mapping
from pathlib import Path

from automl.report.html import CAPTIONS, Report, sentence
from automl.report.rows import TextTable, budget_table

_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~&$])")


def note(report: Report, page: Path, links: Mapping[str, str]) -> str:
    """The sentence on top of the report, the budgets, the plots, and where the report is.

    Args:
        report: What it tells.
        page: Where the report is on this machine, or will be.
        links: Name of a plot, or `report.html` -> where the reader's browser finds it.
    """
    config = report.config
    budgets = () if report.metrics is None else report.metrics.budgets
    plots = [f"![{name}]({links[name]})\n\n{plain(CAPTIONS[name])}" for name in CAPTIONS if name in links]
    parts = [
        f"**{plain(sentence(report))}**",
        plain(f"{config.model} on {config.data}, budget {', '.join(config.asked)}"),
        _table(budget_table(budgets)) if budgets else "",
        f"[The report]({links['report.html']}), of which `automl report` writes a copy to {plain(str(page))}",
        *plots,
    ]
    return "\n\n".join(part for part in parts if part)


def plain(text: str) -> str:
    """Text as Markdown shows it unchanged, whatever is in it, on one line."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def _table(content: TextTable) -> str:
    lines = [content.header, ("---",) * len(content.header), *content.rows]
    cells = ([cell if cell == "---" else plain(cell) for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
