import pytest
from optuna.trial import TrialState

from automl.cli.standing import standing
from automl.core.errors import RunError
from automl.store.address import StudyAddress
from automl.store.study import open_study
from tests.automl.cli.conftest import MakeRun


def test_a_run_with_its_result_and_all_its_trials_is_done(make_run: MakeRun) -> None:
    found = standing(make_run("a"))
    assert (found.state, found.study.completed, found.asked) == ("done", 3, 3)


def test_the_best_trial_is_the_one_of_lowest_divergence(make_run: MakeRun) -> None:
    best = standing(make_run("a")).study.best
    assert best is not None
    assert (best.number, best.evaluation.divergence) == (1, 0.2)


def test_a_run_without_a_result_is_stopped(make_run: MakeRun) -> None:
    assert standing(make_run("a", done=False)).state == "stopped"


def test_a_finished_run_that_was_asked_for_more_trials_is_stopped_until_it_has_them(make_run: MakeRun) -> None:
    assert standing(make_run("a", asked=9)).state == "stopped"


def test_a_search_that_its_time_ended_is_done(make_run: MakeRun) -> None:
    assert standing(make_run("a", asked=9, time_s=5.0)).state == "done"


def test_a_run_that_a_process_holds_is_searching_and_can_be_looked_at(make_run: MakeRun) -> None:
    run = make_run("a", done=False)
    with run.locked():
        assert standing(run).state == "searching"
    assert standing(run).state == "stopped"


def test_looking_makes_no_study_and_leaves_running_trials_alone(make_run: MakeRun) -> None:
    run = make_run("a", done=False)
    with open_study(StudyAddress.of_file(run.study_db)) as study:
        study.ask()
        standing(run)
        assert [trial.state for trial in study.get_trials()][-1] is TrialState.RUNNING
    run.study_db.unlink()
    assert standing(run).study.completed == 0
    assert not run.study_db.exists()


def test_a_damaged_study_is_refused(make_run: MakeRun) -> None:
    run = make_run("a", done=False)
    run.study_db.write_bytes(b"no database")
    with pytest.raises(RunError, match="undamaged"):
        standing(run)
