import json
from pathlib import Path

from tests.automl.cli.conftest import Cli, MakeRun


def test_a_finished_run_shows_the_table_the_channels_and_the_files(automl: Cli, make_run: MakeRun) -> None:
    run = make_run("a")
    lines = automl("show", "a").out.splitlines()
    rows = [line.split() for line in lines]
    assert ["MACs", "2.00M", *["1.00M", "(50.0%)"] * 3] in rows
    assert ["a", "4", "16", "25.0%"] in rows
    assert ["b", "2", "32", "6.2%"] in rows
    assert str(run.policy) in lines
    assert str(run.onnx) not in lines  # it is not there
    assert not any("resume" in line for line in lines)


def test_an_unfinished_run_shows_the_best_trial_so_far_and_how_to_go_on(automl: Cli, make_run: MakeRun) -> None:
    make_run("a", asked=40, done=False)
    out = automl("show", "a").out
    assert "Best so far is trial 1: 80.0% before fine-tuning, divergence 0.2000, 1.00M MACs" in out
    assert ["b", "2"] in [line.split() for line in out.splitlines()]
    assert "automl resume a" in out


def test_a_result_of_an_earlier_session_is_shown_beside_what_is_open(automl: Cli, make_run: MakeRun) -> None:
    make_run("a", asked=40)
    out = automl("show", "a").out
    assert "Fine-tuned" in out
    assert "a: stopped, 3 of 40 trials completed." in out


def test_the_json_of_a_run_holds_metrics_policy_and_files(automl: Cli, make_run: MakeRun) -> None:
    run = make_run("a")
    value = json.loads(automl("show", "a", "--json").out)
    assert value["metrics"]["finetuned"]["accuracy"] == 0.97
    assert value["policy"]["channels"] == {"a": 4, "b": 2}
    assert value["files"] == {"policy": str(run.policy), "metrics": str(run.metrics)}


def test_a_policy_file_is_shown_by_its_path(automl: Cli, make_run: MakeRun) -> None:
    path = make_run("a").policy
    assert "for cifar_resnet20 at 3x16x16 with 10 classes" in automl("show", path).out
    value = json.loads(automl("show", path, "--json").out)
    assert (value["model"], value["input_shape"], value["classes"]) == ("cifar_resnet20", [3, 16, 16], 10)
    assert value["full_channels"] == {"a": 16, "b": 32}


def test_a_hand_written_policy_may_leave_things_out(automl: Cli, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"format": "automl-policy/1", "channels": {"conv1": 8}}')
    out = automl("show", "p.json").out
    assert "for a model that it does not name" in out
    assert ["conv1", "8"] in [line.split() for line in out.splitlines()]


def test_what_is_missing_or_no_policy_exits_with_2(automl: Cli, tmp_path: Path) -> None:
    assert "automl search" in automl("show", "nosuch").err
    (tmp_path / "p.json").write_text("{}")
    outcome = automl("show", "p.json")
    assert (outcome.code, outcome.out) == (2, "")
    assert "automl-policy/1" in outcome.err
