import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from automl.store.run import Run
from benchmarks import crash_child
from benchmarks.crash import ENGINES, SIGNALS, Case, Outcome, cases, rows, unreadable
from benchmarks.crash_child import CLOCK, PLACES

FINE = Outcome(
    Case(0, "solver", "ask", 3, "SIGKILL"),
    hit=True,
    exit_code=-9,
    before=2,
    lost=0,
    running=0,
    unreadable=(),
    resumed=0,
    same_trials=True,
    same_best=True,
    same_weights=True,
)


def test_every_moment_signal_and_engine_has_its_turn() -> None:
    made = cases(30, seed=0)
    assert {case.place for case in made} == {*PLACES, CLOCK}
    assert {case.signal for case in made} == set(SIGNALS)
    assert {case.engine for case in made} == set(ENGINES)
    assert len({(case.place, case.signal, case.engine) for case in made}) == 30
    assert cases(30, seed=0) == made
    assert cases(30, seed=1) != made


def test_nothing_lost_holds_every_target() -> None:
    assert all(row.held for row in rows([FINE, FINE]))


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        ({"hit": False}, "searches that got their signal"),
        ({"lost": 1}, "completed trials lost"),
        ({"running": 2}, "trials left running"),
        ({"unreadable": ("config.toml",)}, "files unreadable or left over"),
        ({"resumed": 1}, "runs that could not be resumed"),
        ({"same_trials": False}, "same trials as undisturbed"),
        ({"same_best": False}, "same best policy"),
        ({"same_weights": False}, "same fine-tuned weights, bit by bit"),
    ],
)
def test_any_harm_misses_its_target(harm: dict[str, object], what: str) -> None:
    missed = [row.what for row in rows([FINE, replace(FINE, **harm)]) if not row.held]  # type: ignore[arg-type]
    assert missed == [what]


def test_files_that_cannot_be_read_or_are_left_over_are_named(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / ".baseline.x.safetensors").write_bytes(b"")
    (tmp_path / "config.toml").write_text('model = "m"\ndata = "d"\nbudget = ["1flops"]\n')
    found = unreadable(Run(tmp_path))
    assert "state/.baseline.x.safetensors" in found
    assert "config.toml" not in found
    assert {"manifest.json", "best/policy.json", "study.db", "best/model.onnx"} <= set(found)


@pytest.mark.parametrize("place", PLACES)
def test_the_signal_comes_before_the_call_that_was_chosen(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _, number: sent.append(number))
    called: list[int] = []
    deadly = crash_child._deadly(called.append, 2, signal.SIGTERM)
    deadly(1)
    assert sent == []
    deadly(2)
    deadly(3)
    assert (sent, called) == ([signal.SIGTERM], [1, 2, 3])
    module, _, path = PLACES[place].partition(":")
    holder = __import__(module, fromlist=["x"])
    for name in path.split("."):
        holder = getattr(holder, name)
    assert callable(holder)
