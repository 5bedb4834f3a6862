import importlib.util
import io
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from automl.core.bits import BitWidths
from automl.core.errors import SearchError
from automl.core.policy import dense_policy
from automl.pipeline.conversation import Conversation
from automl.pipeline.held import held
from automl.pipeline.subject import Subject, open_subject
from automl.report.progress import Progress
from automl.store.config import RunConfig
from benchmarks import mct_peer
from benchmarks.bit_contest import BitArena, BitResult, ours_assigned
from benchmarks.bit_task import Assigned, BitMethod, BitTask, policy_of_bits, weight_bits_only
from benchmarks.cache import ResultCache
from benchmarks.methods import OURS
from benchmarks.mixed_precision import BitPlan, rows, run, tables
from benchmarks.nets import Net

NET = Net("tiny", "tests.benchmarks.test_peers:tiny", "digits")
BITS = {"0": 8, "3": 4, "8": 8}
MEAN = 5.0
"""With 4 bits for the one layer that has a choice the mean is 4.67."""
RESULT = BitResult(
    mean_bits=4.67,
    seconds=3.0,
    own=None,
    before=0.5,
    divergence_before=0.1,
    after=0.6,
    divergence_after=0.05,
    dense=0.7,
    images=400,
)


def opened(net: Net = NET, seed: int = 0) -> Subject:
    return open_subject(RunConfig(net.model, net.data, ("1flops",), seed=seed, limit=300))


def task(mean: float = MEAN) -> BitTask:
    subject = weight_bits_only(opened(), mean)
    splits = subject.splits
    calibration, search, test = (held(subject, each) for each in (splits.calibration, splits.search, splits.test))
    return BitTask(subject, mean, calibration, search, test, trials=2)


def fixed(asked: BitTask, bits: dict[str, int] = BITS) -> Assigned:
    return Assigned(bits, 1.5)


@pytest.fixture
def talk() -> Iterator[Conversation]:
    console = Console(file=io.StringIO(), width=200)
    with Progress(console) as progress:
        yield Conversation(console, progress, lambda: False)


def test_the_budget_is_one_on_the_mean_bits_of_a_weight_and_widths_stay_whole() -> None:
    subject = weight_bits_only(opened(), MEAN)
    graph = subject.traced.graph
    assert all(len(knob.choices) == 1 for knob in subject.space.knobs if knob.kind == "channels")
    policy = replace(dense_policy(graph), bits={name: BitWidths(bits, 8) for name, bits in BITS.items()})
    weights = 72 + 1152 + 160
    cost = subject.cost_model(policy)
    assert cost.bops == 8 * (72 * 8 + 1152 * 4 + 160 * 8)
    assert subject.budget.limits[0].absolute(subject.dense_cost) == pytest.approx(8 * weights * MEAN)
    assert subject.budget.satisfied_by(cost, subject.dense_cost)


def test_bits_that_break_a_rule_are_refused() -> None:
    asked = task()
    policy, mean = policy_of_bits(asked, BITS)
    assert {name: widths.activation for name, widths in policy.bits.items()} == dict.fromkeys(BITS, 8)
    assert mean == pytest.approx(4.67, abs=0.01)
    for wrong, said in (
        ({"0": 8, "3": 4}, "each layer once"),
        ({**BITS, "8": 4}, "first and the last"),
        ({**BITS, "3": 8}, "at most 5 bits"),
    ):
        with pytest.raises(SearchError, match=said):
            policy_of_bits(asked, wrong)


def test_our_search_uses_the_bits_that_the_budget_leaves() -> None:
    assert dict(ours_assigned(task()).bits) == BITS
    assert dict(ours_assigned(task(3.5)).bits) == {**BITS, "3": 2}


def test_equal_bits_come_to_equal_results_and_a_failure_is_said(tmp_path: Path, talk: Conversation) -> None:
    plan = BitPlan((NET,), (MEAN,), (0,), epochs=1, trials=1, fresh=False)
    too_many = partial(fixed, bits={**BITS, "3": 8})
    methods: dict[str, BitMethod] = {OURS: fixed, "peer": fixed, "greedy": too_many}
    found, failures = run(plan, methods, ResultCache(tmp_path), opened, talk)
    assert found["tiny", MEAN, OURS] == found["tiny", MEAN, "peer"]
    assert set(failures) == {("tiny", MEAN, "greedy")}
    (row,) = rows(found)
    assert (row.compared, row.held) == (0.0, True)
    assert len(tables(found)[0].rows) == 2

    def closed(net: Net, seed: int) -> Subject:
        raise AssertionError("everything is on disk")

    assert run(plan, {OURS: fixed}, ResultCache(tmp_path), closed, talk)[0]["tiny", MEAN, OURS]


def test_a_tie_holds_and_an_interval_below_zero_does_not() -> None:
    def verdict(ours: list[float], theirs: list[float]) -> bool | None:
        found = {
            ("net", 3.0, OURS): [replace(RESULT, after=each) for each in ours],
            ("net", 3.0, "peer"): [replace(RESULT, after=each, own=0.4) for each in theirs],
        }
        return rows(found)[0].held

    assert verdict([0.60, 0.62], [0.61, 0.62])
    assert not verdict([0.60, 0.62], [0.65, 0.6701])
    assert verdict([0.60], [0.62])  # within what 400 images can tell
    assert not verdict([0.60], [0.70])


def test_an_interpreter_without_the_toolkit_is_left_out_with_the_reason() -> None:
    assert "left out" in (mct_peer.why_not("/no/such/python") or "")
    if importlib.util.find_spec("model_compression_toolkit") is None:
        assert "pip install model-compression-toolkit" in (mct_peer.why_not(None) or "")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(importlib.util.find_spec("modelopt") is None, reason="needs nvidia-modelopt")
def test_autoquantize_gives_bits_to_each_layer_within_the_budget() -> None:
    from benchmarks import autoquantize_peer

    result = BitArena(opened(), MEAN).measure(autoquantize_peer.assign, epochs=1, trials=1, stop=lambda: False)
    assert result.mean_bits == pytest.approx(4.67, abs=0.01)
    assert result.own is not None


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("model_compression_toolkit") is None, reason="needs Sony's toolkit")
def test_mct_gives_bits_to_each_layer_within_the_budget() -> None:
    method = partial(mct_peer.assign, python=sys.executable)
    result = BitArena(opened(), MEAN).measure(method, epochs=1, trials=1, stop=lambda: False)
    assert result.mean_bits == pytest.approx(4.67, abs=0.01)
    assert result.own is not None
