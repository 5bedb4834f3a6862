import json
import shutil

from tests.automl.cli.conftest import Cli, MakeRun


def test_every_run_has_a_row(automl: Cli, make_run: MakeRun) -> None:
    make_run("finished")
    make_run("halfway", asked=40, done=False)
    rows = [line.split() for line in automl("status").out.splitlines()]
    assert ["finished", "done", "3", "of", "3", "0.5flops", "80.0%,", "divergence", "0.2000", "97.0%"] in rows
    assert ["halfway", "stopped", "3", "of", "40", "0.5flops", "80.0%,", "divergence", "0.2000", "-"] in rows


def test_the_json_has_counts_the_best_trial_and_the_result(automl: Cli, make_run: MakeRun) -> None:
    run = make_run("finished")
    make_run("halfway", asked=40, trials=0, done=False)
    finished, halfway = json.loads(automl("status", "--json").out)
    assert (finished["run"], finished["path"], finished["state"]) == ("finished", str(run.path), "done")
    assert (finished["trials"], finished["asked"], finished["budget"]) == (3, 3, ["0.5flops"])
    assert (finished["best"]["trial"], finished["best"]["macs"]) == (1, 1_000_000)
    assert finished["result"]["accuracy"] == 0.97
    assert (halfway["trials"], halfway["best"], halfway["result"]) == (0, None, None)


def test_only_the_named_runs_are_shown(automl: Cli, make_run: MakeRun) -> None:
    elsewhere = make_run("a").path.rename(make_run("b").path.parents[1] / "moved")
    assert [row["run"] for row in json.loads(automl("status", "b", elsewhere, "--json").out)] == ["b", "moved"]


def test_a_broken_run_does_not_hide_the_others(automl: Cli, make_run: MakeRun) -> None:
    make_run("broken").config.write_text("model = ")
    make_run("whole")
    outcome = automl("status", "--json")
    assert outcome.code == 0
    assert [row["state"] for row in json.loads(outcome.out)] == ["unreadable", "done"]
    assert "automl status broken" in automl("status").out
    assert automl("status", "broken").code == 2


def test_without_runs_it_says_how_to_start_one(automl: Cli) -> None:
    outcome = automl("status")
    assert outcome.code == 0
    assert "automl search --budget" in outcome.out


def test_a_missing_run_is_refused_with_the_nearest_names(automl: Cli, make_run: MakeRun) -> None:
    make_run("mobilenet")
    outcome = automl("status", "mobilnet")
    assert (outcome.code, outcome.out) == (2, "")
    assert "Did you mean mobilenet?" in outcome.err
    shutil.rmtree("runs")
    assert "automl search" in automl("status", "mobilnet").err
