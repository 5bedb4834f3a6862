import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from automl.store import workers as module
from automl.store.address import StudyAddress
from automl.store.study import open_study
from automl.store.workers import SILENCE_S, Crew, Worker, present, this_process, workers

ELSEWHERE = Worker("other", "other-host", "another system", pid=1, leads=False, born=1)


@pytest.fixture
def study(tmp_path: Path) -> Iterator[optuna.Study]:
    with open_study(StudyAddress.of_file(tmp_path / "study.db")) as opened:
        yield opened


def test_this_process_lives_and_is_another_worker_each_time() -> None:
    first, second = this_process(leads=True), this_process(leads=True)
    assert not first.is_dead()
    assert first.name != second.name
    assert first.pid == second.pid


def test_a_process_that_has_ended_is_dead() -> None:
    code = "from automl.store.workers import this_process; print(this_process(leads=False).born)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        born, _ = process.communicate()
    ended = replace(this_process(leads=False), pid=process.pid, born=int(born))
    assert ended.is_dead()


def test_a_process_that_has_the_number_of_another_one_is_not_that_one() -> None:
    assert replace(this_process(leads=False), born=1).is_dead()


def test_nothing_is_known_of_processes_elsewhere() -> None:
    assert not ELSEWHERE.is_dead()
    assert not replace(ELSEWHERE, place="").is_dead()
    assert replace(ELSEWHERE, state="gone").is_dead()


def test_a_worker_elsewhere_is_lost_after_a_long_silence() -> None:
    crew, name = Crew("ours", leads=True), frozenset({"other"})
    crew.hear([ELSEWHERE], now_s=0.0)
    crew.hear([ELSEWHERE], now_s=SILENCE_S - 1)  # the same beat is no new one
    assert not crew.lost(name, SILENCE_S - 1)
    assert crew.others(SILENCE_S - 1) == name
    assert crew.lost(name, SILENCE_S) == name
    assert not crew.others(SILENCE_S)
    crew.hear([replace(ELSEWHERE, beat=1)], now_s=SILENCE_S + 1)
    assert not crew.lost(name, SILENCE_S + 1)


def test_who_leads_knows_that_no_one_else_does() -> None:
    earlier = replace(ELSEWHERE, leads=True)
    leads, helps = Crew("ours", leads=True), Crew("ours", leads=False)
    for crew in (leads, helps):
        crew.hear([earlier], now_s=0.0)
    assert leads.lost(frozenset({"other"}), 0.0) == {"other"}
    assert not leads.others(0.0)
    assert helps.others(0.0) == {"other"}


def test_a_worker_that_was_never_heard_of_is_lost_and_one_never_loses_oneself() -> None:
    crew = Crew("ours", leads=True)
    assert crew.lost(frozenset({"ours", "unknown"}), 0.0) == {"unknown"}


def test_workers_hear_each_other_and_say_when_they_leave(study: optuna.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.05)
    with present(study, leads=True) as first:
        with present(study, leads=False) as second:
            assert second.others(time.monotonic()) == {first.name}
            until(lambda: first.others(time.monotonic()) == {second.name})
            until(lambda: min(worker.beat for worker in workers(study)) >= 2)
            assert {worker.leads for worker in workers(study)} == {True, False}
        until(lambda: not first.others(time.monotonic()))
    assert {worker.state for worker in workers(study)} == {"gone"}


def until(holds) -> None:  # type: ignore[no-untyped-def]
    for _ in range(400):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it never came to hold")


def test_a_worker_of_another_version_is_none_that_lives(study: optuna.Study) -> None:
    study.set_user_attr("worker:strange", {"beats": 3})
    assert workers(study) == []
    assert Crew("ours", leads=True).lost(frozenset({"strange"}), 0.0) == {"strange"}
