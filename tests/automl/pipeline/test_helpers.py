"""What the leader orders and what another process answers; the other one is a thread, as nothing is trained."""

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace

import pytest
import torch
from torch import nn
from torch.distributed import HashStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import Store

from automl.core.bits import BitWidths
from automl.core.errors import AutoMLError, InputError, InterruptedRunError
from automl.core.policy import CompressionPolicy
from automl.pipeline.helpers import Helpers, Job, failure_key, structure
from automl.pipeline.helping import serve
from automl.pipeline.subject import open_space
from automl.store.config import RunConfig
from automl.training.recipe import finetune_recipe

CONFIG = RunConfig("tests.automl.pipeline.test_helpers:small", "digits", ("0.5flops",), limit=200, device="cpu")
CPU = torch.device("cpu")


def small(classes: int = 10) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(16, classes),
    )  # fmt: skip


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # said by the user: threads stay as they are
    return HashStore()


@pytest.fixture
def other(store: Store) -> Iterator[Future[int]]:
    """The exit code of the other process."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(serve, store, rank=1, size=2, place=0)
        Helpers(store, 2).dismiss()


@pytest.fixture(scope="module")
def facts() -> dict[str, str]:
    network, _, _ = open_space(CONFIG, timed=False)
    return {"data": network.splits.digest, "network": structure(network.model), "device": "cpu"}


def go_on() -> bool:
    return False


def test_another_process_opens_the_same_and_ends_when_it_is_dismissed(
    store: Store, other: Future[int], facts: dict[str, str]
) -> None:
    helpers = Helpers(store, 2)
    helpers.open(CONFIG, facts, go_on)
    assert helpers.ready
    helpers.dismiss()
    assert other.result(timeout=60) == 0


def test_what_another_process_lacks_is_said_by_the_leader(
    store: Store, other: Future[int], facts: dict[str, str]
) -> None:
    helpers = Helpers(store, 2)
    with pytest.raises(InputError, match=r"process 1 is not: .*nowhere"):
        helpers.open(replace(CONFIG, data="imagefolder:nowhere"), facts, go_on)
    with pytest.raises(InputError, match="process 1 has another data and device"):
        helpers.open(CONFIG, {**facts, "data": "0", "device": "cuda"}, go_on)
    assert not helpers.ready


def test_a_policys_network_is_built_there_before_it_is_trained(
    store: Store, other: Future[int], facts: dict[str, str]
) -> None:
    helpers = Helpers(store, 2)
    config = replace(CONFIG, bits="4,8")
    helpers.open(config, facts, go_on)
    _, traced, _ = open_space(config, timed=False)
    (group,) = traced.graph.prunable
    policy = CompressionPolicy({group.name: 8}, {"0": BitWidths(8, 8), "5": BitWidths(8, 8)})
    job = Job(policy, rounded=True, recipe=finetune_recipe(100), taught=True)
    with (
        pytest.raises(InputError, match="process 1 has another network"),
        helpers.joining(job, {"network": "0"}, CPU, go_on),
    ):
        pass


def test_the_user_may_stop_while_others_get_ready(store: Store) -> None:
    with pytest.raises(InterruptedRunError):
        Helpers(store, 2).open(CONFIG, {}, lambda: True)  # nobody answers


def test_why_another_process_failed_is_said(store: Store) -> None:
    helpers = Helpers(store, 2)
    store.set(failure_key(1), "ValueError: the disk is gone")
    with pytest.raises(AutoMLError, match="process 1 failed: ValueError: the disk is gone"):
        helpers._raise_failure()


def test_a_job_is_read_as_it_was_written() -> None:
    policy = CompressionPolicy({"a": 8, "b": 0}, {"a": BitWidths(4, 8)})
    for job in (
        Job(policy, rounded=True, recipe=finetune_recipe(500), taught=True),
        Job(None, rounded=False, recipe=finetune_recipe(90, labelled=False), taught=False),
    ):
        assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job
    assert set(job.to_json()["recipe"]) == set(asdict(job.recipe))
