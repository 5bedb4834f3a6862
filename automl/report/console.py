"""What the terminal shows: tables on a rich console that the caller gives."""

from collections.abc import Mapping
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from automl.core.bits import BitWidths
from automl.core.cost import Cost
from automl.core.graph import ModelGraph
from automl.core.terminal import printable
from automl.report.metrics import Metrics
from automl.report.quantity import humanise, percent, share
from automl.report.rows import (
    FOOTNOTE,
    FRONT_NOTE,
    TextTable,
    bits_line,
    budget_table,
    front_table,
    result_table,
    search_line,
    speed_line,
)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a network the search can reach."""

    prunable_macs_fraction: float
    """Share of the MACs, in [0, 1], in layers with at least one prunable dimension."""
    least_macs_fraction: float
    """MACs of the smallest policy over those of the dense network."""
    whole: tuple[tuple[str, str], ...]
    """(channel group, why it stays whole)."""
    unfollowed: tuple[str, ...] = ()
    """What the trace could not follow, in words."""


def show_result(console: Console, metrics: Metrics, run: str = "RUN") -> None:
    """Prints the final table, how it was found, the budgets, and the front of a range of them.

    Args:
        console: Where.
        metrics: The result.
        run: Name of the run, for the command that exports a trial.
    """
    console.print(rendered(result_table(metrics)))
    _line(console, FOOTNOTE)
    _line(console, search_line(metrics))
    if metrics.layers:
        _line(console, bits_line(metrics))
    if speed_line(metrics):
        _line(console, speed_line(metrics))
    if metrics.budgets:
        console.print(rendered(budget_table(metrics.budgets)))
    if metrics.front:
        console.print(rendered(front_table(metrics)))
        _line(console, f"{FRONT_NOTE} Export one of them: automl export {run} --trial N")


def show_coverage(console: Console, coverage: Coverage) -> None:
    """Prints, before a search, what it can and cannot prune."""
    _line(
        console,
        f"{percent(coverage.prunable_macs_fraction)} of the MACs are prunable; "
        f"the least reachable is {percent(coverage.least_macs_fraction)} of them.",
    )
    reasons: dict[str, list[str]] = {}
    for name, reason in coverage.whole:
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        _line(console, f"Stays whole ({reason}): {_listed(names)}")
    for words in coverage.unfollowed:
        _line(console, f"Not followed: {words}")


def show_cost(console: Console, dense: Cost, kept: Cost | None = None) -> None:
    """Prints what a network costs, and beside it what a policy leaves of it."""
    costs = {"Dense": dense} if kept is None else {"Dense": dense, "Policy": kept}
    rows = (
        ("MACs", *(share(cost.macs, dense.macs) for cost in costs.values())),
        ("Parameters", *(share(cost.params, dense.params) for cost in costs.values())),
        ("Size", *(share(cost.size_bytes, dense.size_bytes, "B") for cost in costs.values())),
        ("BOPs", *(share(cost.bops, dense.bops) for cost in costs.values())),
    )
    console.print(rendered(TextTable(("", *costs), rows)))


def show_groups(console: Console, graph: ModelGraph, kept: Mapping[str, int]) -> None:
    """Prints every channel group; `kept` holds the channels that a policy keeps, all where a group is absent."""
    rows = [
        (
            group.name,
            f"{kept_words(kept.get(group.name, group.channels))} of {group.channels}",
            str(len(group.producers)),
            str(len(group.consumers)),
            group.reason or "",
        )
        for group in graph.groups
    ]
    table = TextTable(("Channel group", "Kept", "Made by", "Read by", "Stays whole because"), tuple(rows))
    console.print(rendered(table, left=(0, 4)))


def kept_words(channels: int) -> str:
    """How many channels of a group a policy keeps; a group without any went with its branch."""
    return str(channels) if channels else "dropped"


def show_layers(
    console: Console, graph: ModelGraph, kept: Mapping[str, int], bits: Mapping[str, BitWidths] | None = None
) -> None:
    """Prints every layer.

    Args:
        console: Where.
        graph: Has the layers.
        kept: Channels that a policy keeps, all where a group is absent.
        bits: Bit-widths that it gives; a column of its own where there are any.
    """
    widths = {group.name: kept.get(group.name, group.channels) for group in graph.groups}
    rows = [
        (
            layer.name,
            layer.kind,
            f"{layer.inputs.size(widths)} > {layer.outputs.size(widths)}",
            f"{layer.kernel[0]}x{layer.kernel[1]}",
            f"{layer.out_size[0]}x{layer.out_size[1]}",
            humanise(layer.macs(widths)),
            *([_bits(bits[layer.name]) if layer.name in bits else "float"] if bits else []),
        )
        for layer in graph.layers
    ]
    header = ("Layer", "Kind", "Channels", "Kernel", "Map", "MACs", *(["Bits"] if bits else []))
    table = TextTable(header, tuple(rows))
    console.print(rendered(table, left=(0, 1)))


def _bits(widths: BitWidths) -> str:
    return f"w{widths.weight}a{widths.activation}"


def rendered(table: TextTable, left: tuple[int, ...] = (0,)) -> Table:
    """The table as rich prints it; the columns in `left` are set to the left, the others to the right."""
    rendered = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, title in enumerate(table.header):
        rendered.add_column(Text(title), justify="left" if index in left else "right", overflow="fold", no_wrap=False)
    for row in table.rows:
        rendered.add_row(*(Text(printable(cell)) for cell in row))  # rich would read brackets in a name as markup
    return rendered


def _line(console: Console, text: str) -> None:
    console.print(Text(printable(text)), soft_wrap=not console.is_terminal)


def _listed(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
