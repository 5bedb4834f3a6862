import re
from dataclasses import replace
from pathlib import Path

import pytest

from automl.evaluate.interval import PairedDifference
from automl.report.comparison import Pair, RunResult, compared, pairs_table, results_table
from automl.report.comparison_page import render_comparison, results_svg
from automl.report.metrics import Metrics
from automl.store.answers import ImageAnswers
from automl.store.config import RunConfig
from automl.store.manifest import Manifest
from tests.automl.report.pages import check_page


@pytest.fixture
def result(config: RunConfig, manifest: Manifest, metrics: Metrics, answers: ImageAnswers) -> RunResult:
    """Its exported network has 88 of 100 right."""
    assert metrics.finetuned is not None
    right = replace(metrics, finetuned=replace(metrics.finetuned, accuracy=0.88))
    return RunResult("first", Path("runs/first"), config, manifest, right, answers)


def test_each_run_is_held_against_the_first(result: RunResult) -> None:
    others = [replace(result, label=label) for label in ("second", "third")]
    found = compared([result, *others])
    assert [(pair.run, pair.against) for pair in found.pairs] == [("second", "first"), ("third", "first")]
    assert all(pair.difference is not None and pair.difference.same for pair in found.pairs)


def test_a_pair_is_told_in_one_sentence() -> None:
    better = Pair("b", "a", PairedDifference(1000, 70, 50, 0.02, (0.001, 0.041), same=False))
    assert str(better) == ("b is better than a: +2.0 points (95% interval +0.1 to +4.1) on the same 1,000 test images.")
    perhaps = Pair("b", "a", PairedDifference(1000, 52, 50, 0.002, (-0.018, 0.022), same=False))
    assert str(perhaps).startswith("No difference between b and a can be told: +0.2 points")
    assert str(Pair("b", "a", None, "they have other data.")) == "b and a cannot be paired: they have other data."


def test_the_tables_have_a_row_per_run_and_per_pair(result: RunResult, timed: Metrics) -> None:
    slow = replace(result, label="second", metrics=timed, answers=None)
    table = results_table([result, slow])
    assert [row[:2] for row in table.rows] == [("1", "first"), ("2", "second")]
    assert table.rows[0][-1] == "NO: size"
    (row,) = pairs_table(compared([result, slow]).pairs).rows
    assert row[:6] == ("second", "first", "-", "-", "-", "-")
    assert "older version" in row[6]
    assert all(len(row) == len(table.header) for row in table.rows)


def test_the_page_of_hundreds_of_runs_is_small_and_texts_are_escaped(result: RunResult) -> None:
    evil = "<script>alert('$title')</script>\"&"
    command = replace(result.manifest, command=(evil,))
    results = [replace(result, label=f"{evil}{number}", manifest=command) for number in range(200)]
    page = check_page(render_comparison(compared(results)))
    assert sum(evil in text for text in page.text) >= 400


def test_every_network_is_in_the_picture(result: RunResult) -> None:
    svg = results_svg([result, replace(result, label="second & last")])
    assert "<title>second &amp; last</title>" in svg
    assert 'aria-labelledby="results-title results-text"' in svg


def test_runs_at_one_point_have_their_numbers_side_by_side(result: RunResult) -> None:
    assert result.metrics.finetuned is not None
    worse = replace(result.metrics, finetuned=replace(result.metrics.finetuned, accuracy=0.7))
    svg = results_svg([result, replace(result, metrics=worse), result])
    assert {">1, 3</text>", ">2</text>"} <= set(re.findall(r">[^<>]+</text>", svg))
