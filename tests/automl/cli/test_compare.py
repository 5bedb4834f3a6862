import json
from dataclasses import replace
from pathlib import Path

import pytest

from automl.report.metrics import read_metrics, write_metrics
from automl.store.answers import ImageAnswers, write_answers
from automl.store.config import load_config, to_toml
from automl.store.run import Run
from tests.automl.cli.conftest import Cli, MakeRun, answers
from tests.automl.report.pages import check_page


def answered(run: Run, given: ImageAnswers) -> Run:
    """The run with these answers, and the accuracy that follows from them."""
    write_answers(run.answers, given)
    found = read_metrics(run.metrics)
    assert found.finetuned is not None
    accuracy = float(given.right("finetuned").mean())
    write_metrics(run.metrics, replace(found, finetuned=replace(found.finetuned, accuracy=accuracy)))
    return run


def test_runs_are_listed_and_paired_with_the_first(automl: Cli, make_run: MakeRun) -> None:
    make_run("a")
    answered(make_run("b"), answers(wrong=range(2, 32)))
    outcome = automl("compare", "a", "b")
    assert outcome.code == 0
    rows = [line.split() for line in outcome.out.splitlines()]
    assert any(row[:5] == ["1", "a", "0.5flops", "tpe", "97.0%"] for row in rows)
    assert any(row[:5] == ["2", "b", "0.5flops", "tpe", "70.0%"] for row in rows)
    # b has images 0 and 1 right, which a has not, and a has 3 to 31.
    assert "b is worse than a: -27.0 points (95% interval -36." in outcome.out
    assert "on the same 100 test images." in outcome.out


def test_equal_runs_are_equal(automl: Cli, make_run: MakeRun) -> None:
    make_run("a")
    make_run("b")
    assert "b and a are equal: the same answer to each of 100 test images." in automl("compare", "a", "b").out
    (pair,) = json.loads(automl("compare", "a", "a", "--json").out)["pairs"]
    assert pair == {
        "run": "a (2)", "against": "a", "reason": None,
        "paired": {
            "images": 100, "only_ours": 0, "only_theirs": 0, "difference": 0.0, "ci95": [0.0, 0.0], "same": True,
            "told": False,
        },
    }  # fmt: skip


def test_a_small_difference_is_not_called_one(automl: Cli, make_run: MakeRun) -> None:
    make_run("a")
    answered(make_run("b"), answers(wrong=range(1, 4)))
    out = automl("compare", "a", "b").out
    assert "No difference between b and a can be told: +0.0 points (95% interval -3." in out


def test_the_json_has_results_and_pairs(automl: Cli, make_run: MakeRun) -> None:
    first = make_run("a")
    answered(make_run("b"), answers(wrong=range(10)))
    value = json.loads(automl("compare", "a", "b", "--json").out)
    assert [run["run"] for run in value["runs"]] == ["a", "b"]
    assert value["runs"][0]["path"] == str(first.path)
    assert value["runs"][0]["result"]["accuracy"] == 0.97
    (pair,) = value["pairs"]
    assert (pair["paired"]["only_ours"], pair["paired"]["only_theirs"]) == (0, 7)
    assert pair["paired"]["difference"] == pytest.approx(-0.07)


def test_the_page_holds_the_same(automl: Cli, make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a")
    answered(make_run("b"), answers(wrong=range(2, 32)))
    assert automl("compare", "a", "b", "--to", "page.html").code == 0
    page = check_page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert {"automl: a, b", "Results", "Pairs", "-27.0", "worse", "70.0%"} <= set(page.text)
    assert page.tags.count("svg") == 1
    outcome = automl("compare", "a", "b", "--to", "page.html")
    assert (outcome.code, outcome.out) == (2, "")
    assert "rm page.html" in outcome.err


def test_runs_on_other_data_are_listed_but_not_paired(automl: Cli, make_run: MakeRun) -> None:
    make_run("a")
    other = answered(make_run("b"), answers(test="others"))
    other.config.write_text(to_toml(replace(load_config(other.config), data="synthetic:clutter")))
    outcome = automl("compare", "a", "b")
    assert outcome.code == 0
    assert "b and a cannot be paired: they have other data, synthetic:clutter and digits." in outcome.out
    assert json.loads(automl("compare", "a", "b", "--json").out)["pairs"][0]["paired"] is None


def test_runs_with_other_test_images_say_what_put_them_there(automl: Cli, make_run: MakeRun) -> None:
    make_run("a")
    other = answered(make_run("b"), answers(test="others"))
    assert "the data has changed between them" in automl("compare", "a", "b").out
    other.config.write_text(to_toml(replace(load_config(other.config), limit=200)))
    assert "(200 images and all images). Search with the same `--limit`" in automl("compare", "a", "b").out


def test_a_run_of_an_older_version_has_no_answers_and_says_how_to_get_them(automl: Cli, make_run: MakeRun) -> None:
    make_run("a")
    old = make_run("b")
    old.answers.unlink()
    outcome = automl("compare", "a", "b")
    assert outcome.code == 0
    assert f"`automl resume {old.path}` writes them" in outcome.out


def test_answers_of_another_result_are_not_paired(automl: Cli, make_run: MakeRun) -> None:
    make_run("a")
    write_answers(make_run("b").answers, answers(wrong=range(50)))
    assert "the answers of b are of another result" in automl("compare", "a", "b").out


def test_agreement_with_other_dense_networks_is_not_paired(automl: Cli, make_run: MakeRun) -> None:
    for name, changed in (("a", 0), ("b", 1)):
        given = answers()
        given.labels[:] = -1
        given.networks["baseline"][99] = changed
        run = answered(make_run(name), given)
        write_metrics(run.metrics, replace(read_metrics(run.metrics), accuracy_is="agreement"))
    assert "agreement is with the dense network" in automl("compare", "a", "b").out


def test_runs_of_one_name_are_told_apart_by_their_paths(automl: Cli, make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    moved = make_run("a").path.rename(tmp_path / "other" / "a")
    here = make_run("a").path
    labels = [run["run"] for run in json.loads(automl("compare", "a", "other/a", "--json").out)["runs"]]
    assert labels == [str(here), str(moved)]


def test_a_comparison_takes_two_finished_runs(automl: Cli, make_run: MakeRun) -> None:
    make_run("a")
    make_run("b", done=False)
    for names, said in ((["a"], "two runs or more"), (["a", "b"], "no result yet"), (["a", "c"], "must exist")):
        outcome = automl("compare", *names)
        assert (outcome.code, outcome.out) == (2, "")
        assert said in outcome.err
