import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from automl.pipeline.conversation import Conversation
from automl.pipeline.subject import Subject, open_subject
from automl.report.progress import Progress
from automl.store.config import RunConfig
from benchmarks.arms import L1_RECALIBRATED, Workshop, uniform
from benchmarks.cache import ResultCache
from benchmarks.contest import Effort
from benchmarks.method import Compressed, Task
from benchmarks.methods import OURS
from benchmarks.nets import Net
from benchmarks.peers import Plan, run

NET = Net("tiny", "tests.benchmarks.test_peers:tiny", "digits")


def tiny(classes: int = 10, colours: int = 1) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(colours, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, classes),
    )


def colourful(classes: int = 24) -> nn.Module:
    return tiny(classes, colours=3)


def opened(net: Net, seed: int) -> Subject:
    return open_subject(RunConfig(net.model, net.data, ("1flops",), seed=seed, limit=300))


def uniform_l1(task: Task) -> Compressed:
    workshop = Workshop(task.subject, [L1_RECALIBRATED])
    policy = uniform(task.subject)
    return Compressed(workshop.network(L1_RECALIBRATED, policy, own_memory=True), 1.5, policy)


def too_large(task: Task) -> Compressed:
    return Compressed(tiny(), 0.5)


@pytest.fixture
def talk() -> Iterator[Conversation]:
    console = Console(file=io.StringIO(), width=200)
    with Progress(console) as progress:
        yield Conversation(console, progress, lambda: False)


def plan(seeds: tuple[int, ...] = (0, 1), fresh: frozenset[str] = frozenset()) -> Plan:
    return Plan((NET,), (0.5,), seeds, Effort(epochs=1, trials=1), quick=False, fresh=fresh)


def test_every_method_is_measured_before_and_after_fine_tuning(tmp_path: Path, talk: Conversation) -> None:
    methods = {OURS: uniform_l1, "peer": uniform_l1}
    found, failures = run(plan(), methods, ResultCache(tmp_path), opened, talk)
    assert not failures
    assert set(found) == {("tiny", 0.5, OURS), ("tiny", 0.5, "peer")}
    for each in (one for results in found.values() for one in results):
        assert 0 < each.macs_share <= 0.5
        assert each.search_seconds == 1.5
        assert each.images == 75  # a quarter of the 300
    assert [each.after for each in found["tiny", 0.5, OURS]] == [each.after for each in found["tiny", 0.5, "peer"]]


def test_an_interrupted_benchmark_goes_on_from_what_is_on_disk(tmp_path: Path, talk: Conversation) -> None:
    cache = ResultCache(tmp_path)
    first, _ = run(plan(seeds=(0,)), {OURS: uniform_l1}, cache, opened, talk)

    def closed(net: Net, seed: int) -> Subject:
        raise AssertionError("everything is on disk")

    second, _ = run(plan(seeds=(0,)), {OURS: uniform_l1}, cache, closed, talk)
    assert first == second


def test_a_result_above_the_target_is_a_failure_and_is_said(tmp_path: Path, talk: Conversation) -> None:
    methods = {OURS: uniform_l1, "peer": too_large}
    found, failures = run(plan(seeds=(0,)), methods, ResultCache(tmp_path), opened, talk)
    assert set(found) == {("tiny", 0.5, OURS)}
    assert set(failures) == {("tiny", 0.5, "peer")}
    assert "must have at most" in failures["tiny", 0.5, "peer"]
