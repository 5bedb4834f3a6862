import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from rich.console import Console
from torch import nn

from automl.compress.probe import trace_prunable
from automl.core.errors import NoFeasiblePolicyError
from automl.core.knob import Knob
from automl.pipeline import clocking
from automl.pipeline import subject as opening
from automl.pipeline.conversation import Conversation
from automl.pipeline.profiling import Say
from automl.pipeline.subject import Subject, open_subject
from automl.report.progress import Progress
from automl.runtime.call_times import CallTimes
from automl.runtime.calls import Calls
from automl.runtime.device_profile import DeviceProfile
from automl.runtime.pack import Pack
from automl.runtime.target import Target
from automl.store.config import RunConfig
from automl.tracing.channel_map import TracedModel
from benchmarks import latency_budget_arms
from benchmarks.latency_budget import LEAST, LEAST_USED, MOST, Outcomes, budgets, notes, rows, table
from benchmarks.latency_budget_arms import Bench, Found, Outcome, Task, Worth
from benchmarks.nets import Net
from tests.devices import by_macs, profile, wide

TASK = Task(Net("wide", "tests.devices:wide", "digits"), 0.6, seed=0, trials=3, epochs=1)


def opened(net: Net, seed: int, talk: Conversation) -> Subject:
    return open_subject(RunConfig(net.model, net.data, ("1flops",), seed=seed, device="cpu"))


def closed(net: Net, seed: int, talk: Conversation) -> Subject:
    raise AssertionError("everything is on disk")


def known(model: nn.Module, traced: TracedModel, knobs: Sequence[Knob], target: Target, say: Say) -> DeviceProfile:
    return profile(traced, knobs, target, by_macs(traced))


def timed(pack: Pack, graphs: Sequence[onnx.ModelProto]) -> DeviceProfile:
    """A device on which time is a matter of multiply-adds, and of nothing else."""
    speed = by_macs(trace_prunable(wide(), (1, 8, 8)))
    calls = Calls.of([[number, speed(policy), 1] for number, policy in enumerate(pack.policies)])
    return DeviceProfile(pack.target, "", {}, "onnxruntime", "9.9", pack.policies, 0, CallTimes((calls,)))


@pytest.fixture
def talk() -> Iterator[Conversation]:
    console = Console(file=io.StringIO(), width=200)
    with Progress(console) as progress:
        yield Conversation(console, progress, lambda: False)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency_budget_arms, "open_net", opened)
    monkeypatch.setattr(opening, "local_profile", known)
    monkeypatch.setattr(clocking, "measured", timed)


@pytest.mark.slow
@pytest.mark.usefixtures("machine")
def test_both_arms_end_in_files_of_equal_latency_and_stay_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, talk: Conversation
) -> None:
    outcome = Bench(TASK, tmp_path, False, talk).outcome()
    assert outcome.met
    found = outcome.found
    assert found is not None
    # Nothing is random on this device, so that it says the same twice.
    assert found.again == pytest.approx(found.own)
    assert LEAST_USED <= found.again / outcome.share <= 1
    assert found.ratio == pytest.approx(1.0, abs=0.03)
    # Time is multiply-adds here, and a little that all networks take.
    assert found.latency_driven.macs == pytest.approx(found.flops_driven.macs, abs=0.02)
    assert found.flops_driven.macs <= found.flops
    for worth in (found.latency_driven, found.flops_driven):
        assert 0 < worth.accuracy < 1
        assert worth.seconds > 0
    assert len(list(tmp_path.glob("runs/*/best/model.onnx"))) == 2
    monkeypatch.setattr(latency_budget_arms, "open_net", closed)
    assert Bench(TASK, tmp_path, False, talk).outcome() == outcome


@pytest.mark.usefixtures("machine")
def test_a_search_without_a_result_is_a_budget_that_is_not_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, talk: Conversation
) -> None:
    def none(*arguments: object) -> None:
        raise NoFeasiblePolicyError("nothing is fast enough")

    monkeypatch.setattr(latency_budget_arms, "start_run", none)
    outcome = Bench(TASK, tmp_path, False, talk).outcome()
    assert (outcome.found, outcome.refused, outcome.met) == (None, "nothing is fast enough", False)
    met, *others = rows({"wide": [outcome]})
    assert (met.measured, met.held, others) == (0, False, [])
    assert table("wide", [outcome]).rows[0][2] == "refused"


def test_budgets_are_spread_over_the_range_and_the_same_each_time() -> None:
    for net in ("resnet20-clutter", "mobilenetv2-clutter"):
        drawn = budgets(net, 5)
        assert drawn == budgets(net, 5)
        for share, least in zip(drawn, (0.3, 0.4, 0.5, 0.6, 0.7), strict=True):
            assert least - 0.005 <= share <= least + 0.105  # of the two decimals
    assert budgets("resnet20-clutter", 5) != budgets("mobilenetv2-clutter", 5)
    assert all(LEAST <= share <= MOST for share in budgets("digits", 200))


WORTH = Worth(accuracy=0.90, divergence=0.1, macs=0.5, seconds=60.0)
FOUND = Found(0.49, 0.48, 0.5, 2, 1.0, WORTH, WORTH, dense=0.92, images=2000)


def made_up(*differences: float) -> Outcomes:
    """Searches whose latency-driven accuracy is so much above the FLOPs-driven one."""
    found = [replace(FOUND, latency_driven=replace(WORTH, accuracy=0.90 + each)) for each in differences]
    return {"net": [Outcome(0.5, seed, each) for seed, each in enumerate(found)]}


def test_the_worst_search_decides_what_is_met_and_used() -> None:
    outcomes = {
        "one": [Outcome(0.5, 0, FOUND), Outcome(0.5, 1, replace(FOUND, again=0.46))],
        "other": [Outcome(0.48, 0, FOUND)],
    }
    met, used, *_ = rows(outcomes)
    assert (met.measured, met.baseline, met.held) == (3, "3 searches", True)
    assert used.measured == pytest.approx(0.92)
    assert used.held is False
    over = {"one": [*outcomes["one"], Outcome(0.5, 2, replace(FOUND, again=0.501))]}
    met, *_ = rows(over)
    assert met.compared == pytest.approx(2 / 3)
    assert (met.measured, met.held) == (2, False)


def test_an_accuracy_is_missed_only_where_flops_are_ahead_beyond_doubt() -> None:
    held = {}
    for name, differences in {"ahead": (0.01, 0.02), "tied": (-0.02, 0.01), "behind": (-0.02, -0.0201)}.items():
        made = rows(made_up(*differences))
        held[name] = made[3].held, [note.partition(": ")[2].partition(":")[0] for note in notes(made_up(), made)]
    # Of 0.01 and 0.02 the interval reaches far below 0 as well.
    tie = ["accuracy at equal latency"]
    assert held == {"ahead": (True, tie), "tied": (True, tie), "behind": (False, [])}


def test_a_flops_driven_network_that_is_faster_is_no_comparison() -> None:
    (first, second) = made_up(0.01, 0.02)["net"]
    assert second.found is not None
    hurried = {"net": [first, replace(second, found=replace(second.found, ratio=0.97))]}
    _, _, ratio, accuracy, divergence = rows(hurried)
    assert (ratio.compared, ratio.held) == (0.97, False)
    assert accuracy.measured == pytest.approx(0.91)
    assert accuracy.ci95 is None
    assert divergence.held is None
    assert any("left out" in note for note in notes(hurried, []))
    alone = {"net": hurried["net"][1:]}
    assert [row.held for row in rows(alone)] == [True, True, False]
