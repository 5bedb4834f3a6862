"""The plots of a run, as SVG text."""

import io
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from automl.core.cost import Cost
from automl.core.evaluation import Evaluation
from automl.core.graph import ModelGraph
from automl.report.quantity import humanise
from automl.store.files import write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TRIAL, _BEST, _UNIFORM, _OUTLINE = "#9aa5b1", "#0b6e4f", "#c8553d", "#c4cbd3"
_INCHES_PER_GROUP = 0.18


def history_svg(evaluations: Sequence[Evaluation], uniform: Evaluation) -> str:
    """Divergence of every completed trial, the best so far, and the uniform policy.

    Args:
        evaluations: One per completed trial, in order; at least one.
        uniform: What the uniform policy was worth.
    """
    figure, axes = _figure(6.4, 3.6)
    divergences = [evaluation.divergence for evaluation in evaluations]
    numbers = range(1, len(divergences) + 1)
    axes.axhline(uniform.divergence, color=_UNIFORM, linestyle="--", linewidth=1, label="uniform")
    axes.scatter(numbers, divergences, s=14, color=_TRIAL, label="trial")
    axes.step(numbers, list(accumulate(divergences, min)), where="post", color=_BEST, label="best so far")
    axes.set_xlabel("completed trials")
    axes.set_ylabel("divergence from the dense network (nats)")
    axes.legend(frameon=False)
    return _svg(figure, "history")


def tradeoff_svg(
    evaluations: Sequence[Evaluation], uniform: Evaluation, dense: Cost, accuracy_is: str = "accuracy"
) -> str:
    """Accuracy on the search split over MACs, for every completed trial.

    Args:
        evaluations: One per completed trial; at least one.
        uniform: What the uniform policy was worth.
        dense: Cost of the dense network, which the MACs are given in per cent of.
        accuracy_is: `accuracy` or `agreement`.
    """
    figure, axes = _figure(6.4, 3.6)
    best = min(evaluations, key=lambda evaluation: evaluation.divergence)
    for label, color, size, shown in (
        ("trial", _TRIAL, 14, evaluations),
        ("uniform", _UNIFORM, 40, [uniform]),
        ("best", _BEST, 40, [best]),
    ):
        macs = [100 * evaluation.cost.macs / dense.macs for evaluation in shown]
        axes.scatter(macs, [100 * e.accuracy for e in shown], s=size, color=color, label=label)
    axes.set_xlabel(f"MACs (% of the dense {humanise(dense.macs)})")
    axes.set_ylabel(f"{accuracy_is} on the search split (%)")
    axes.ticklabel_format(useOffset=False)
    axes.legend(frameon=False)
    return _svg(figure, "tradeoff")


def channels_svg(graph: ModelGraph, kept: Mapping[str, int]) -> str:
    """Channels that a policy keeps of every prunable group, inside the outline of the dense ones.

    Args:
        graph: Has at least one prunable group.
        kept: Channel group -> channels kept, 0 for a dropped branch; a group that is absent keeps all.
    """
    groups = graph.prunable
    figure, axes = _figure(6.4, 1.2 + _INCHES_PER_GROUP * len(groups))
    rows = range(len(groups))
    axes.barh(rows, [g.channels for g in groups], color="none", edgecolor=_OUTLINE, label="dense")
    counts = [kept.get(group.name, group.channels) for group in groups]
    axes.barh(rows, counts, color=_BEST, label="kept")
    for row in (row for row, count in enumerate(counts) if count == 0):
        axes.annotate("dropped", (0, row), (3, 0), textcoords="offset points", va="center", fontsize=7, color=_UNIFORM)
    # A dollar sign in a module's name is no formula.
    axes.set_yticks(rows, [group.name for group in groups], fontsize=7, parse_math=False)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_xlabel("channels")
    axes.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.0))
    return _svg(figure, "channels")


def write_plots(folder: Path, plots: Mapping[str, str]) -> None:
    """Writes each SVG text as `folder/NAME.svg`; raises `RunError` where the disk refuses."""
    for name, svg in plots.items():
        write_text(folder / f"{name}.svg", svg)


def _figure(width: float, height: float) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure  # takes 0.6 s, which most commands can spare

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: "Figure", name: str) -> str:
    """The figure as SVG; the same figure gives the same text, and ids differ between plots of one page."""
    from matplotlib import rc_context

    text = io.StringIO()
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()
