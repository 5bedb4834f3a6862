from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.core.budget import Budget, Metric
from automl.core.evaluation import Evaluation
from automl.core.knob import policy_of
from automl.core.policy import CompressionPolicy
from automl.core.problem import Problem
from automl.core.sensitivity import SensitivityTable
from automl.pipeline import boosting
from automl.pipeline.boosting import boosted
from automl.pipeline.conversation import Conversation
from automl.pipeline.searching import pose
from automl.pipeline.subject import Subject
from automl.store.run import Run, create_run
from tests.automl.pipeline import test_settling
from tests.automl.pipeline.test_settling import Machine

elsewhere = test_settling.subject


@pytest.fixture
def subject(elsewhere: Subject) -> Subject:
    """Of this machine, with times of another one."""
    return replace(elsewhere, config=replace(elsewhere.config, target=None))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return create_run(tmp_path, "run")


def never(policy: CompressionPolicy) -> Evaluation:
    raise AssertionError(policy)


def problem(subject: Subject) -> Problem:
    """Where every channel is worth the same."""
    knobs = subject.space.knobs
    losses = tuple(tuple(1.0 - choice / knob.choices[-1] for choice in knob.choices) for knob in knobs)
    table = SensitivityTable(tuple(knob.name for knob in knobs), tuple(knob.choices for knob in knobs), losses)
    return pose(subject, table, never)


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1])
def test_policies_of_the_search_keep_the_budget_as_timed(
    run: Run, subject: Subject, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boosting, "policies_ms", Machine(subject, factor))
    boost = boosted(run, subject, problem(subject), Conversation.silent())
    asked = subject.budget.limits[0].asked(subject.dense_cost)
    assert boost.budget.limits[0].absolute(boost.dense_cost) == pytest.approx(
        subject.budget.limits[0].absolute(subject.dense_cost) / factor
    )
    widest = boost.projection(np.array([knob.choices[-1] for knob in boost.space.knobs])).tolist()
    ms = factor * (boost.cost_model(policy_of(boost.space.knobs, widest)).latency_ms or 0)
    assert 0.9 * asked <= ms <= asked


def test_a_resumed_search_has_the_same_limits(run: Run, subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(subject, 1.1)
    monkeypatch.setattr(boosting, "policies_ms", machine)
    first = boosted(run, subject, problem(subject), Conversation.silent())
    machine.factor = 5.0
    assert boosted(run, subject, problem(subject), Conversation.silent()).budget == first.budget
    assert machine.asked == 1
    (run.state / "boost.json").write_text('{"timed_over')  # half a file: timed again
    machine.factor = 1.0
    again = boosted(run, subject, problem(subject), Conversation.silent())
    assert again.budget.limits_of(Metric.LATENCY)[0].margin == pytest.approx(subject.budget.limits[0].margin)


def test_what_is_meant_for_another_device_is_left_to_its_profile(run: Run, elsewhere: Subject) -> None:
    assert boosted(run, elsewhere, problem(elsewhere), Conversation.silent()) is elsewhere


def test_without_a_limit_on_latency_nothing_is_timed(run: Run, subject: Subject) -> None:
    free = replace(subject, budget=Budget.parse("0.5flops"))
    assert boosted(run, free, problem(free), Conversation.silent()) is free


def test_where_nothing_is_timed_fast_enough_the_limits_stay(
    run: Run, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boosting, "policies_ms", Machine(subject, 50.0))
    assert boosted(run, subject, problem(subject), Conversation.silent()) is subject
