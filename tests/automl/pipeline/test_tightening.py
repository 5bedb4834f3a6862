from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from automl.core.errors import NoFeasiblePolicyError
from automl.core.policy import CompressionPolicy
from automl.core.user_code import Named
from automl.export.policy_file import read_policy
from automl.pipeline import boosting, finishing, settling, subject
from automl.pipeline.clocking import Clock
from automl.pipeline.conversation import Conversation
from automl.pipeline.profiling import target_of
from automl.pipeline.runs import resume_run, start_run
from automl.pipeline.subject import Subject, open_space
from automl.report.timing import Timing
from automl.runtime.target import Runtime
from automl.store.run import Run, open_run
from tests.automl.pipeline.test_profiling import CHAIN, CONFIG
from tests.devices import by_macs, profile

SEARCH = replace(CONFIG, engine="uniform", trials=1, epochs=1, finetune_epochs=1)


class Machine:
    """Times candidates as predicted, and exported files with one factor after the other."""

    def __init__(self, factors: Sequence[float]) -> None:
        self.factors, self.exported = list(factors), list[CompressionPolicy]()

    def times(self, subject: Subject, policies: Sequence[CompressionPolicy]) -> list[float]:
        return [subject.cost_model(policy).latency_ms or 0 for policy in policies]

    def clock(self, subject: Subject, policy: CompressionPolicy, path: Path) -> Clock:
        factor = self.factors[min(len(self.exported), len(self.factors) - 1)]
        self.exported.append(policy)
        assert read_policy(path.parent / "policy.json").policy == policy
        ms = factor * (subject.cost_model(policy).latency_ms or 0)
        return Clock(subject.dense_cost.latency_ms or 0, ms, ms, Timing(Runtime.ONNXRUNTIME, "1", "A CPU", 1, 0.0, {}))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Machine]:
    def made(*factors: float) -> Machine:
        machine = Machine(factors)
        _, traced, space = open_space(CONFIG, timed=True)
        known = profile(traced, space.knobs, target_of(CHAIN, traced.graph, "fp32", 1), by_macs(traced))
        monkeypatch.setattr(subject, "local_profile", lambda *_: known)
        for module in (boosting, settling):
            monkeypatch.setattr(module, "policies_ms", machine.times)
        monkeypatch.setattr(finishing, "clock", machine.clock)
        return machine

    return made


def latency_ms(run: Run, policy: CompressionPolicy) -> float:
    """As predicted."""
    found = subject.open_subject(replace(SEARCH, target=str(run.device))).cost_model(policy).latency_ms
    assert found is not None
    return found


def test_a_smaller_policy_is_trained_where_the_file_is_too_slow(
    tmp_path: Path, machine: Callable[..., Machine]
) -> None:
    slow = machine(1.2)
    run, metrics = start_run(SEARCH, tmp_path, "slow", (), Conversation.silent())
    (line,) = metrics.budgets
    first, second = slow.exported
    assert line.met
    assert line.measured is not None
    assert 0.9 * line.asked <= line.measured <= line.asked
    assert latency_ms(run, second) <= latency_ms(run, first) / 1.2
    assert read_policy(run.policy).policy == second
    assert metrics.search.winner in {"uniform", "solver"}


def test_a_resumed_run_does_not_train_the_slow_policy_again(tmp_path: Path, machine: Callable[..., Machine]) -> None:
    machine(1.2)
    run, metrics = start_run(SEARCH, tmp_path, "slow", (), Conversation.silent())
    again = machine(1.0)
    run, resumed = resume_run(tmp_path, "slow", None, None, Conversation.silent(), Named(CHAIN))
    assert [read_policy(run.policy).policy] == again.exported
    assert resumed.final.macs == metrics.final.macs


def test_a_file_that_stays_too_slow_is_there_all_the_same(tmp_path: Path, machine: Callable[..., Machine]) -> None:
    slow = machine(1.2, 1.5, 2.0)
    with pytest.raises(NoFeasiblePolicyError, match="what predictions miss"):
        start_run(SEARCH, tmp_path, "slow", (), Conversation.silent())
    assert len(slow.exported) == 3
    assert len({policy.digest() for policy in slow.exported}) == 3
    assert open_run(tmp_path, "slow").onnx.is_file()
