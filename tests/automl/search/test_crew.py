"""Several processes on one study, in a real PostgreSQL, some of which are killed."""

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from optuna.trial import TrialState

import automl
from automl.store.address import StudyAddress
from automl.store.ledger import LOST, WORKER
from automl.store.study import open_study
from automl.store.trials import DIGEST, completed
from automl.store.workers import workers
from tests.contracts import postgres

TRIALS = 60
Process = subprocess.Popen[str]


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    pytest.importorskip("psycopg", reason="psycopg is not installed: no test of several machines runs")
    reason = postgres.missing()
    if reason is not None:
        pytest.skip(f"{reason}: no test of several machines runs")
    with postgres.running_server() as running:
        yield running


def begin(url: str, name: str, engine: str, kind: str, trials: int, seconds: float) -> Process:
    settings = [url, name, engine, str(trials), str(seconds), kind]
    command = [sys.executable, "-m", "tests.automl.search.crew_search", *settings]
    root = Path(automl.__file__).parents[1]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def together(processes: Sequence[Process]) -> None:
    """Lets all of them begin once the slowest has started."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def ended(process: Process) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


@pytest.mark.slow
def test_no_trial_is_lost_when_workers_are_killed_and_the_server_restarts(server: postgres.Server) -> None:
    kinds = ("leads", "works", "dies-evaluating", "dies-asking")
    everyone = [begin(server.url, "killed", "cma", kind, TRIALS, 0.15) for kind in kinds]
    together(everyone)
    for process in everyone[2:]:
        process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL
    server.restart()
    for process in everyone[:2]:
        ended(process)

    with open_study(StudyAddress.parse(server.url, "killed"), make=False) as study:
        trials, crew = study.get_trials(), workers(study)
    by_state = Counter(trial.state for trial in trials)
    assert by_state[TrialState.RUNNING] == by_state[TrialState.WAITING] == by_state[TrialState.FAIL] == 0
    assert by_state[TrialState.COMPLETE] >= TRIALS
    assert [trial.number for trial in trials] == list(range(len(trials)))
    # What the killed one had begun was evaluated by another, as the same trial with the same parameters.
    retried = [trial for trial in trials if LOST in trial.user_attrs]
    assert retried
    assert all(trial.state is TrialState.COMPLETE for trial in retried)
    done = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    digests = Counter(trial.user_attrs[DIGEST] for trial in done)
    evaluated = [trial for trial in done if trial.user_attrs["evaluation"]["source"] == "new"]
    assert len(evaluated) == len(digests)
    assert len({trial.user_attrs[WORKER] for trial in done}) >= 3
    assert len(crew) == 4


@pytest.mark.slow
def test_workers_propose_differently_and_share_the_work(server: postgres.Server) -> None:
    kinds = ("leads", "works", "works")
    processes = [begin(server.url, "shared", "random", kind, trials=40, seconds=0.1) for kind in kinds]
    together(processes)
    for process in processes:
        ended(process)
    with open_study(StudyAddress.parse(server.url, "shared"), make=False) as study:
        trials = study.get_trials(states=(TrialState.COMPLETE,))
        assert len({evaluation.policy.digest() for evaluation in completed(study)}) >= 38
    each = Counter(trial.user_attrs[WORKER] for trial in trials)
    assert len(each) == 3
    assert min(each.values()) >= 5
    assert 40 <= len(trials) <= 42


def test_a_study_that_does_not_exist_is_refused_with_those_that_do(server: postgres.Server) -> None:
    from automl.core.errors import RunError

    with open_study(StudyAddress.parse(server.url, "there")):
        pass
    with (
        pytest.raises(RunError, match=r"has none called 'their'\. There are: there"),
        open_study(StudyAddress.parse(server.url, "their"), make=False),
    ):
        pass


def test_a_server_that_does_not_answer_is_refused_without_a_password() -> None:
    pytest.importorskip("psycopg")
    from automl.core.errors import RunError

    address = StudyAddress.parse("postgresql://me:secret@127.0.0.1:1/studies", "any")
    with pytest.raises(RunError, match="does not: connection") as refused, open_study(address):
        pass
    assert "secret" not in str(refused.value)
