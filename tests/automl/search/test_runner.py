import math
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import FixedTrial, TrialState

import automl
from automl.core.errors import InterruptedRunError, SearchError, StorageError
from automl.core.evaluation import Evaluation, Evaluator
from automl.core.policy import CompressionPolicy
from automl.search.engine import Session, TrialReport
from automl.search.registry import AGENTS, ENGINES, find_engine
from automl.search.runner import MOST_FAILURES, search
from automl.store.address import StudyAddress
from automl.store.ledger import LOST, WORKER, Ledger, Proposal
from automl.store.patience import Patience
from automl.store.study import open_study
from automl.store.trials import FAILURE, completed
from automl.store.workers import present
from tests.contracts.problem import SeparableEvaluator, separable_problem


def run(
    evaluate: Evaluator,
    study: optuna.Study,
    *,
    trials: int = 6,
    deadline: float | None = None,
    stop: Callable[[], bool] = lambda: False,
    reports: list[TrialReport] | None = None,
    failed: list[tuple[int, str]] | None = None,
) -> Evaluation:
    heard: list[TrialReport] = [] if reports is None else reports
    lost: list[tuple[int, str]] = [] if failed is None else failed
    return search(
        separable_problem(evaluate),
        study,
        find_engine("random"),
        trials=trials,
        seed=0,
        deadline=deadline,
        stop=stop,
        on_trial=heard.append,
        on_failure=lambda number, reason: lost.append((number, reason)),
    )


def failing_on(numbers: set[int], fail: Callable[[Evaluation], Evaluation]) -> Evaluator:
    """Evaluates, but hands some of its answers, counted from 0, to `fail`."""
    inner = SeparableEvaluator()

    def evaluate(policy: CompressionPolicy) -> Evaluation:
        evaluation = inner(policy)
        return fail(evaluation) if len(inner.asked) - 1 in numbers else evaluation

    return evaluate


def broken(_: Evaluation) -> Evaluation:
    raise RuntimeError("out of memory")


def test_the_best_is_the_evaluation_with_the_lowest_divergence() -> None:
    study, reports = optuna.create_study(), list[TrialReport]()
    best = run(SeparableEvaluator(), study, reports=reports)
    assert best.divergence == min(report.evaluation.divergence for report in reports)
    assert reports[-1].best == best
    assert [(report.done, report.asked) for report in reports] == [(n, 6) for n in range(1, 7)]


@pytest.mark.parametrize(
    ("fail", "reason"),
    [
        (broken, "RuntimeError: out of memory"),
        (lambda e: replace(e, divergence=math.nan), "divergence must be a finite number, but is nan"),
        (lambda e: replace(e, divergence=math.inf), "divergence must be a finite number, but is inf"),
        (lambda e: replace(e, accuracy=math.nan), "accuracy must be a finite number, but is nan"),
    ],
)
def test_a_failed_trial_keeps_its_reason_and_the_search_goes_on(
    fail: Callable[[Evaluation], Evaluation], reason: str
) -> None:
    study = optuna.create_study()
    run(failing_on({2}, fail), study)
    failed = study.get_trials(states=(TrialState.FAIL,))
    assert [trial.number for trial in failed] == [2]
    assert reason in failed[0].user_attrs[FAILURE]
    assert len(completed(study)) == 6


def test_each_failed_trial_is_reported_once_with_its_reason() -> None:
    study, failed = optuna.create_study(), list[tuple[int, str]]()
    run(failing_on({2, 4}, broken), study, failed=failed)
    assert failed == [(2, "RuntimeError: out of memory"), (4, "RuntimeError: out of memory")]
    failed.clear()
    run(SeparableEvaluator(), study, trials=8, failed=failed)
    assert failed == []


def test_five_failures_in_a_row_end_the_search_with_the_reason() -> None:
    study = optuna.create_study()
    with pytest.raises(SearchError, match=r"5 in a row failed.*out of memory"):
        run(failing_on(set(range(3, 100)), broken), study, trials=20)
    assert len(completed(study)) == 3
    assert len(study.get_trials(states=(TrialState.FAIL,))) == MOST_FAILURES


@pytest.mark.parametrize("name", [*ENGINES, *AGENTS])
def test_one_policy_that_cannot_be_evaluated_does_not_end_the_search(name: str) -> None:
    # The policy of the third trial fails whenever it is asked for, as one that needs more memory than there is.
    evaluator = SeparableEvaluator()
    failing: list[str] = []

    def evaluate(policy: CompressionPolicy) -> Evaluation:
        if not failing and len(evaluator.asked) == 2:
            failing.append(policy.digest())
        if policy.digest() in failing:
            raise RuntimeError("out of memory")
        return evaluator(policy)

    study = optuna.create_study()
    search(
        separable_problem(evaluate),
        study,
        find_engine(name, "hidden=16" if name in AGENTS else None),
        trials=5,
        seed=0,
        deadline=None,
        stop=lambda: False,
        on_trial=lambda _: None,
    )
    assert len(completed(study)) == (1 if name == "uniform" else 5)


def test_failures_apart_do_not_end_the_search() -> None:
    study = optuna.create_study()
    run(failing_on(set(range(1, 30, 2)), broken), study, trials=8)
    assert len(completed(study)) == 8


def test_stop_ends_the_search_after_the_running_trial() -> None:
    study, reports = optuna.create_study(), list[TrialReport]()
    run(SeparableEvaluator(), study, stop=lambda: len(reports) == 2, reports=reports)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2


def test_a_search_stopped_before_its_first_trial_is_interrupted() -> None:
    study = optuna.create_study()
    with pytest.raises(InterruptedRunError, match="before its first trial"):
        run(SeparableEvaluator(), study, stop=lambda: True)
    assert run(SeparableEvaluator(), study, trials=1).policy.channels["block0"] == 16


def test_a_passed_deadline_still_gives_one_result() -> None:
    study = optuna.create_study()
    run(SeparableEvaluator(), study, deadline=0.0)
    assert len(completed(study)) == 1


def test_a_uniform_trial_that_failed_is_tried_again_by_the_next_session() -> None:
    study = optuna.create_study()
    run(failing_on({0}, broken), study, trials=2)
    evaluator = SeparableEvaluator()
    run(evaluator, study, trials=3)
    assert set(evaluator.asked[0].channels.values()) == {16}


def test_workers_have_seeds_of_their_own() -> None:
    seeds = {Session(base, 50, worker=worker).own_seed for base in (0, 1) for worker in range(50)}
    assert len(seeds) == 100


def test_a_study_that_cannot_be_written_ends_the_search_at_once(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    evaluator = SeparableEvaluator()

    def damaging(policy: CompressionPolicy) -> Evaluation:
        if len(evaluator.asked) == 2:
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("DROP TABLE trial_params")
        return evaluator(policy)

    with pytest.raises(StorageError, match="refused"), open_study(StudyAddress.of_file(path)) as study:
        run(damaging, study)
    assert len(evaluator.asked) == 3


def test_a_search_killed_in_mid_trial_loses_no_completed_trial(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    command = [sys.executable, "-m", "tests.automl.search.slow_search", str(path), "50", "0.05"]
    root = Path(automl.__file__).parents[1]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    started = [process.stdout.readline() for _ in range(4)]  # the fourth is being evaluated
    process.kill()
    process.communicate()
    assert all(line.startswith("evaluating") for line in started)

    evaluator = SeparableEvaluator()
    with open_study(StudyAddress.of_file(path)) as study:
        survived = [evaluation.policy.digest() for evaluation in completed(study)]
        assert len(survived) >= 3
        best = run(evaluator, study, trials=8)
        digests = [evaluation.policy.digest() for evaluation in completed(study)]
        assert len(digests) == 8
        assert digests[: len(survived)] == survived
        assert not {policy.digest() for policy in evaluator.asked} & set(survived)
        assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}
        assert best.divergence == study.best_value


def test_the_trial_of_a_worker_that_came_after_the_last_beat_is_left_alone(tmp_path: Path) -> None:
    problem, engine = separable_problem(SeparableEvaluator()), find_engine("random")
    trial = FixedTrial(dict(engine.uniform(problem)))
    proposal = Proposal(engine.propose(problem, trial), trial.params, trial.distributions, engine.name)
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 5

    address = StudyAddress.of_file(tmp_path / "study.db")
    with (
        open_study(address) as study,
        present(study, leads=True) as crew,
        open_study(address) as theirs,
        present(theirs, leads=False) as late,
    ):
        number = Ledger(theirs, late.name, Patience(0.0)).begin(proposal)
        search(problem, study, engine, trials=3, seed=0, deadline=None, stop=stop, on_trial=lambda _: None, crew=crew)
        found = study.get_trials(deepcopy=False)[number]
    assert found.state is TrialState.RUNNING
    assert found.user_attrs[WORKER] == late.name
    assert LOST not in found.user_attrs


def test_a_trial_that_a_lost_worker_had_begun_is_evaluated_although_enough_others_are_completed() -> None:
    problem, engine, study = separable_problem(SeparableEvaluator()), find_engine("random"), optuna.create_study()
    run(SeparableEvaluator(), study, trials=6)
    trial = FixedTrial(dict(engine.uniform(problem)))
    proposal = Proposal(engine.propose(problem, trial), trial.params, trial.distributions, engine.name)
    number = Ledger(study, "lost", Patience(0.0)).begin(proposal)
    run(SeparableEvaluator(), study, trials=6)
    assert [each.state for each in study.get_trials()] == [TrialState.COMPLETE] * 7
    assert study.get_trials()[number].user_attrs[LOST] == 1
