"""A process that helps another one, which leads, to train: it opens the same model and data, and writes nothing."""

import json
import time
from collections.abc import Mapping
from itertools import count
from typing import Any

import torch
from torch import nn
from torch.distributed import DistError
from torch.distributed.distributed_c10d import PrefixStore, Store

from automl.compress.quantized import QuantizedNetwork
from automl.core.errors import InputError, LostProcessError
from automl.data.splits import Splits
from automl.pipeline.helpers import (
    DONE,
    Job,
    answer_key,
    failure_key,
    order_key,
    set_threads,
    structure,
    team_key,
    threads_each,
)
from automl.pipeline.rebuilding import rebuilt
from automl.pipeline.subject import find_device, open_space
from automl.store.config import from_toml
from automl.tracing.channel_map import TracedModel
from automl.training.following import follow
from automl.training.team import joined

_POLL_S = 0.25


def serve(store: Store, rank: int, size: int, place: int) -> int:
    """Does what the leader orders until it dismisses this process; returns the exit code.

    Args:
        store: Where the processes meet.
        rank: Of this process, at least 1.
        size: Number of processes.
        place: Number of this process on its machine, counted from 0.
    """
    set_threads(threads_each())
    helper = _Helper(rank, size, place)
    try:
        for number in count(1):
            order = _awaited(store, number)
            if order is None:
                return 0
            if order["do"] == "join":
                helper.join(PrefixStore(team_key(number), store))
            else:
                store.set(answer_key(number, rank), json.dumps(helper.answer(order)))
    except (LostProcessError, DistError):
        return 1  # the leader has gone, or tells the user
    except Exception as error:  # the model and the data may be the user's own code
        store.set(failure_key(rank), f"{type(error).__name__}: {error}")
    return 1


class _Helper:
    """What was opened, and what is built for the next training."""

    _device: torch.device
    _seed: int
    _splits: Splits
    _model: nn.Module
    _traced: TracedModel
    _job: Job
    _student: nn.Module

    def __init__(self, rank: int, size: int, place: int) -> None:
        self._rank, self._size, self._place = rank, size, place

    def answer(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Does what is ordered; facts that the leader compares with its own, or why it cannot be done."""
        try:
            facts = self._open(order["config"]) if order["do"] == "open" else self._prepare(order["job"])
        except InputError as error:
            return {"refused": str(error)}
        except Exception as error:  # the model and the data may be the user's own code
            return {"refused": f"{type(error).__name__}: {error}"}
        return {"facts": facts}

    def join(self, store: Store) -> None:
        """Trains along."""
        teacher = self._model if self._job.taught else None
        with joined(store, self._rank, self._size, self._device) as team:
            follow(
                self._student,
                teacher=teacher,
                train_set=self._splits.train,
                recipe=self._job.recipe,
                seed=self._seed,
                team=team,
            )

    def _open(self, settings: str) -> dict[str, str]:
        config = from_toml(settings)
        self._device, self._seed = _own_device(config.device, self._place), config.seed
        network, self._traced, _ = open_space(config, timed=False)
        self._model, self._splits = network.model.to(self._device), network.splits
        return {"data": self._splits.digest, "network": structure(self._model), "device": self._device.type}

    def _prepare(self, job: Mapping[str, Any]) -> dict[str, str]:
        self._job = Job.from_json(job)
        policy, self._student = self._job.policy, self._model
        if policy is not None:
            self._student = rebuilt(self._model, self._traced, policy, rounded=self._job.rounded)
        if isinstance(self._student, QuantizedNetwork):
            self._student.rounds_weights = True
        return {"network": structure(self._student)}


def _own_device(name: str, place: int) -> torch.device:
    device = find_device(name)
    if device.type == "cpu":
        return device
    there = torch.cuda.device_count()
    if place >= there:
        raise InputError(f"Each process needs a GPU of its own, but here are {there}. Use `--nproc-per-node {there}`.")
    torch.cuda.set_device(place)
    return torch.device("cuda", place)


def _awaited(store: Store, number: int) -> dict[str, Any] | None:
    """The next order; None where there will be none."""
    while not store.check([DONE]):
        if store.check([order_key(number)]):
            order: dict[str, Any] = json.loads(store.get(order_key(number)))
            return order
        time.sleep(_POLL_S)
    return None
