from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.core.errors import NoFeasiblePolicyError
from automl.core.knob import policy_of
from automl.core.policy import CompressionPolicy
from automl.pipeline import settling
from automl.pipeline.conversation import Conversation
from automl.pipeline.profiling import target_of
from automl.pipeline.settling import Settled, settle
from automl.pipeline.subject import Subject, open_space, open_subject
from automl.runtime.device_profile import write_profile
from automl.store.run import Run, create_run
from tests.automl.pipeline.test_profiling import CHAIN, CONFIG
from tests.devices import by_macs, profile


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    path = tmp_path_factory.mktemp("device") / "device.json"
    _, traced, space = open_space(CONFIG, timed=True)
    write_profile(path, profile(traced, space.knobs, target_of(CHAIN, traced.graph, "fp32", 1), by_macs(traced)))
    return open_subject(replace(CONFIG, target=str(path)))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return create_run(tmp_path, "run")


class Machine:
    """Takes `factor` times as long as predicted."""

    def __init__(self, subject: Subject, factor: float) -> None:
        self.subject, self.factor, self.asked = subject, factor, 0

    def __call__(self, subject: Subject, policies: Sequence[CompressionPolicy]) -> list[float]:
        self.asked += 1
        return [self.factor * (self.subject.cost_model(policy).latency_ms or 0) for policy in policies]


def projected(subject: Subject, ratio: float) -> CompressionPolicy:
    """A policy that uses the budget by what is predicted."""
    knobs = subject.space.knobs
    return policy_of(knobs, subject.projection(np.array([k.choices[-1] * ratio for k in knobs])).tolist())


def settled(run: Run, subject: Subject, factor: float, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Settled], int]:
    machine = Machine(subject, factor)
    monkeypatch.setattr(settling, "policies_ms", machine)
    found = settle(run, subject, [projected(subject, 0.5), projected(subject, 0.9)], Conversation.silent())
    return found, machine.asked


@pytest.mark.parametrize("factor", [0.9, 1.1, 1.3])
def test_policies_are_brought_to_the_budget_as_timed(
    run: Run, subject: Subject, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = settled(run, subject, factor, monkeypatch)
    asked = subject.budget.limits[0].asked(subject.dense_cost)
    assert found
    for each in found:
        assert 0.9 * asked <= each.ms <= 0.99 * asked
        assert each.ms == pytest.approx(factor * (subject.cost_model(each.policy).latency_ms or 0))


def test_what_fits_is_left_as_it_is(run: Run, subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    found, asked = settled(run, subject, 1.0, monkeypatch)
    assert all(each.policy == each.origin for each in found)
    assert asked == 1


def test_a_session_later_nothing_is_timed_again(run: Run, subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = settled(run, subject, 1.2, monkeypatch)
    again, asked = settled(run, subject, 5.0, monkeypatch)
    assert (again, asked) == (first, 0)


def test_a_machine_on_which_nothing_is_fast_enough(run: Run, subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoFeasiblePolicyError, match="none of 2 did in 3 attempts"):
        settled(run, subject, 20.0, monkeypatch)
