import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy, dense_policy
from automl.costs.model import AnalyticCostModel
from automl.report.plots import channels_svg, history_svg, tradeoff_svg, write_plots
from tests.contracts.problem import SENSITIVITY, SeparableEvaluator, separable_graph


@pytest.fixture
def evaluations() -> list[Evaluation]:
    evaluator = SeparableEvaluator()
    return [evaluator(CompressionPolicy(dict.fromkeys(SENSITIVITY, width))) for width in (16, 12, 20)]


def words(svg: str) -> set[str]:
    root = ElementTree.fromstring(svg)
    return {"".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")}


def test_the_history_names_what_it_shows(evaluations: list[Evaluation]) -> None:
    svg = history_svg(evaluations, evaluations[0])
    assert {"trial", "best so far", "uniform", "completed trials"} <= words(svg)


def test_the_tradeoff_says_what_is_measured(evaluations: list[Evaluation]) -> None:
    graph = separable_graph()
    dense = AnalyticCostModel(graph)(dense_policy(graph))
    svg = tradeoff_svg(evaluations, evaluations[0], dense, "agreement")
    # Eight blocks of 256 MACs.
    assert {"MACs (% of the dense 2.05k)", "agreement on the search split (%)"} <= words(svg)


def test_every_group_has_its_bar_whatever_its_name() -> None:
    graph = separable_graph()
    odd = replace(graph.groups[0], name="net.$a$<b>&_^{")
    svg = channels_svg(replace(graph, groups=(odd, *graph.groups[1:])), {"block1": 4})
    assert {"net.$a$<b>&_^{", "block1", "block7", "dense", "kept"} <= words(svg)


def test_a_dropped_group_says_so() -> None:
    assert "dropped" in words(channels_svg(separable_graph(), {"block1": 0}))
    assert "dropped" not in words(channels_svg(separable_graph(), {"block1": 4}))


def test_one_search_gives_one_picture(evaluations: list[Evaluation]) -> None:
    assert history_svg(evaluations, evaluations[0]) == history_svg(evaluations, evaluations[0])


def test_a_single_trial_is_a_picture_too(evaluations: list[Evaluation]) -> None:
    assert "best so far" in words(history_svg(evaluations[:1], evaluations[0]))


def test_plots_are_written_under_their_names(tmp_path: Path) -> None:
    write_plots(tmp_path / "plots", {"channels": "<svg/>"})
    assert (tmp_path / "plots" / "channels.svg").read_text() == "<svg/>"


def test_importing_the_plots_does_not_load_matplotlib() -> None:
    code = "import sys, automl.report.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
