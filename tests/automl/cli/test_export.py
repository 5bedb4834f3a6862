import pytest

from tests.automl.cli.conftest import Cli, MakeRun


@pytest.mark.parametrize("command", ["export", "finetune", "resume"])
def test_a_missing_run_is_refused_with_those_that_are_there(automl: Cli, make_run: MakeRun, command: str) -> None:
    make_run("first")
    outcome = automl(command, "nosuch", "--json")
    assert (outcome.code, outcome.out) == (2, "")
    assert "There are: first." in outcome.err


def test_a_run_without_a_result_cannot_be_exported_and_nothing_is_written(automl: Cli, make_run: MakeRun) -> None:
    run = make_run("a", done=False)
    outcome = automl("export", "a")
    assert outcome.code == 2
    assert "automl resume" in outcome.err
    assert not (run.path / "exports").exists()


def test_a_run_without_trials_cannot_be_finetuned(automl: Cli, make_run: MakeRun) -> None:
    make_run("a", trials=0, done=False)
    outcome = automl("finetune", "a")
    assert outcome.code == 2
    assert "no completed trial" in outcome.err


def test_fine_tuning_takes_one_epoch_or_more(automl: Cli, make_run: MakeRun) -> None:
    make_run("a")
    assert automl("finetune", "a", "--epochs", "0").code == 2
