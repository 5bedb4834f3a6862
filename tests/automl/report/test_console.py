import io
from dataclasses import replace

import pytest
from rich.console import Console

from automl.core.bits import BitWidths
from automl.core.cost import Cost
from automl.report.console import (
    Coverage,
    show_cost,
    show_coverage,
    show_groups,
    show_layers,
    show_result,
)
from automl.report.front import FrontPoint
from automl.report.metrics import Metrics
from tests.contracts.problem import separable_graph


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=80)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_result_fits_80_columns_with_each_row_on_one_line(console: Console, metrics: Metrics) -> None:
    show_result(console, metrics)
    lines = text(console).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split() == ["MACs", "300.80M", *["75.20M", "(25.0%)"] * 3] for line in lines)
    assert any(line.split() == ["flops", "75.20M", "75.10M", "75.10M", "yes"] for line in lines)


def test_a_front_lists_its_trials_and_how_to_export_one(console: Console, metrics: Metrics) -> None:
    points = tuple(
        FrontPoint(trial, "flops", 75_200_000.0 * factor, 0.5 / factor, 0.9, (0.861, 0.928))
        for trial, factor in ((7, 1), (12, 2))
    )
    show_result(console, replace(metrics, front=points), "mine")
    lines = {" ".join(line.split()) for line in text(console).splitlines()}
    # 75.2M and 150.4M of 300.8M.
    assert "7 75.20M (25.0%) 0.5000 90.0% 86.1 to 92.8" in lines
    assert "12 150.40M (50.0%) 0.2500 90.0% 86.1 to 92.8" in lines
    assert "automl export mine --trial N" in " ".join(lines)


def test_without_a_terminal_no_control_codes_are_written(console: Console, metrics: Metrics) -> None:
    show_result(console, metrics)
    assert "\x1b" not in text(console)


def test_coverage_says_what_cannot_be_pruned_and_why(console: Console) -> None:
    whole = (("fc", "class logits"), ("[bold]head", "class logits"), ("block.3", "reshaped"))
    show_coverage(console, Coverage(0.964, 0.0213, whole, unfollowed=("torch.sort in block.3",)))
    assert text(console).splitlines() == [
        "96.4% of the MACs are prunable; the least reachable is 2.1% of them.",
        "Stays whole (class logits): fc, [bold]head",
        "Stays whole (reshaped): block.3",
        "Not followed: torch.sort in block.3",
    ]


def test_many_groups_with_one_reason_are_counted(console: Console) -> None:
    show_coverage(console, Coverage(0.5, 0.5, tuple((f"layer{i}", "reshaped") for i in range(10))))
    assert text(console).splitlines()[1].endswith("layer5 and 4 more")


def test_groups_and_layers_show_what_a_policy_leaves(console: Console) -> None:
    graph = separable_graph()
    whole = replace(graph.groups[1], reason="[red] class logits")
    show_groups(console, replace(graph, groups=(graph.groups[0], whole)), {"block0": 8})
    show_groups(console, graph, {"block0": 0})
    show_layers(console, graph, {"block0": 8})
    lines = [line.split() for line in text(console).splitlines()]
    assert ["block0", "8", "of", "32", "1", "1"] in lines
    assert ["block1", "32", "of", "32", "1", "1", "[red]", "class", "logits"] in lines
    assert ["block0", "dropped", "of", "32", "1", "1"] in lines
    # A 1x1 convolution from 4 to 8 channels on one pixel: 32 MACs.
    assert ["block0", "conv", "4", ">", "8", "1x1", "1x1", "32"] in lines
    assert ["block1", "conv", "4", ">", "32", "1x1", "1x1", "128"] in lines


def test_cost_shows_the_policy_beside_the_dense_network(console: Console) -> None:
    show_cost(console, Cost(2_000_000, 20_000, 80_000, 1), Cost(500_000, 5_000, 40_000, 1))
    lines = [line.split() for line in text(console).splitlines()]
    assert ["MACs", "2.00M", "500.00k", "(25.0%)"] in lines
    assert ["Size", "80.0", "kB", "40.0", "kB", "(50.0%)"] in lines


def test_cost_of_the_dense_network_alone_has_one_column(console: Console) -> None:
    show_cost(console, Cost(2_000_000, 20_000, 80_000, 1))
    assert "Policy" not in text(console)


def test_layers_show_the_bits_that_a_policy_gives(console: Console) -> None:
    show_layers(console, separable_graph(), {}, {"block0": BitWidths(4, 8)})
    lines = [line.split() for line in text(console).splitlines()]
    assert ["block0", "conv", "4", ">", "32", "1x1", "1x1", "128", "w4a8"] in lines
    assert ["block1", "conv", "4", ">", "32", "1x1", "1x1", "128", "float"] in lines


def test_a_quantized_result_fits_80_columns_with_each_row_on_one_line(rounded: Metrics) -> None:
    narrow = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    show_result(narrow, rounded)
    lines = text(narrow).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split() == ["Quantization", "loss", "-", "-", "-", "-", "+0.5", "pt"] for line in lines)
    assert any(line.split() == ["95%", "CI", "96.1-98.8", *["86.1-92.8"] * 2, *["95.1-98.1"] * 2] for line in lines)
