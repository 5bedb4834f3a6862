"""The other processes of a `torchrun`, as the one that leads them sees them.

The leader is the ordinary program. The others build what it tells them to, train along, and know nothing of runs.
Orders and answers are JSON in the store where the processes meet, into which the others look now and then: a search of
days between two trainings needs no connection that lasts so long.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from automl.core.errors import AutoMLError, InputError, InterruptedRunError, LostProcessError
from automl.core.policy import CompressionPolicy
from automl.store.config import RunConfig, to_toml
from automl.training.recipe import Recipe
from automl.training.team import Team, joined

DONE = "done"
"""Key in the store: there will be no more orders."""
_MEETING = timedelta(minutes=30)
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Job:
    """One training, as plain values of which another process builds the same networks."""

    policy: CompressionPolicy | None
    """What is trained; None for the dense network itself."""
    rounded: bool
    """Whether at the policy's bit-widths."""
    recipe: Recipe
    """How."""
    taught: bool
    """Whether the dense network is its teacher."""

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        policy = None if self.policy is None else self.policy.to_json()
        return {"policy": policy, "rounded": self.rounded, "recipe": asdict(self.recipe), "taught": self.taught}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Job":
        """Reads what `to_json` gave."""
        policy = None if value["policy"] is None else CompressionPolicy.from_json(value["policy"])
        return cls(policy, value["rounded"], Recipe(**value["recipe"]), value["taught"])


class Helpers:
    """The processes that this one leads.

    Args:
        store: Where they meet.
        size: Number of processes, this one included.
    """

    def __init__(self, store: Store, size: int) -> None:
        self._store, self.size = store, size
        self._orders = 0
        self.ready = False
        """Whether they have opened model and data."""

    def open(self, config: RunConfig, facts: Mapping[str, str], stop: Callable[[], bool]) -> None:
        """Has them open model and data.

        Args:
            config: Names these.
            facts: What must be the same everywhere.
            stop: Whether the user wants to stop.

        Raises:
            InputError: If one of them cannot, or finds something else there.
            InterruptedRunError: If the user stopped.
            LostProcessError: If `torchrun` does not answer.
        """
        self._ask({"do": "open", "config": to_toml(config)}, facts, stop)
        self.ready = True

    @contextmanager
    def joining(
        self, job: Job, facts: Mapping[str, str], device: torch.device, stop: Callable[[], bool]
    ) -> Iterator[Team]:
        """Has them train along for as long as the body runs; raises what `open` raises, and what failed in them."""
        self._ask({"do": "prepare", "job": job.to_json()}, facts, stop)
        number = self._order({"do": "join"})
        try:
            with joined(PrefixStore(team_key(number), self._store), 0, self.size, device) as team:
                yield team
        except LostProcessError:
            self._raise_failure()
            raise

    def dismiss(self) -> None:
        """Tells them that this process has nothing more for them."""
        with suppress(RuntimeError):
            self._store.set(DONE, "")

    def _ask(self, order: Mapping[str, Any], facts: Mapping[str, str], stop: Callable[[], bool]) -> None:
        number = self._order(order)
        for rank in range(1, self.size):
            answer = self._answer(number, rank, stop)
            if "refused" in answer:
                raise InputError(f"All processes must be able to train, but process {rank} is not: {answer['refused']}")
            other = [name for name, value in facts.items() if answer["facts"].get(name) != value]
            if other:
                raise InputError(
                    f"All processes must have the same {', '.join(facts)}, but process {rank} has another "
                    f"{' and '.join(other)}. Start them on machines with the same code, files and kind of device."
                )

    def _order(self, order: Mapping[str, Any]) -> int:
        self._orders += 1
        with _answering():
            self._store.set(order_key(self._orders), json.dumps(order))
        return self._orders

    def _answer(self, number: int, rank: int, stop: Callable[[], bool]) -> dict[str, Any]:
        key = answer_key(number, rank)
        with _answering():
            while not self._store.check([key]):
                if stop():
                    raise InterruptedRunError("Stopped while the other processes got ready.")
                time.sleep(_POLL_S)
            answer: dict[str, Any] = json.loads(self._store.get(key))
        return answer

    def _raise_failure(self) -> None:
        """Says what went wrong in a process that has ended, where it could say so."""
        with suppress(RuntimeError):
            for rank in range(1, self.size):
                if self._store.check([failure_key(rank)]):
                    reason = self._store.get(failure_key(rank)).decode()
                    raise AutoMLError(f"A training in several processes needs all, but process {rank} failed: {reason}")


@cache
def meeting_place() -> Store:
    """The store in which the processes of this launch meet.

    Raises:
        LostProcessError: If it does not answer.
    """
    with _answering():
        store: Store = next(rendezvous("env://", timeout=_MEETING))[0]
        return store


@cache
def launched(size: int) -> Helpers:
    """The processes that this one leads, and gives its processors to while they train; raises `LostProcessError`."""
    helpers = Helpers(meeting_place(), size)
    set_threads(_processors())
    return helpers


@contextmanager
def sharing_processors() -> Iterator[None]:
    """Leaves the other processes of this machine their part of its processors."""
    before = torch.get_num_threads()
    set_threads(threads_each())
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_each() -> int:
    """Threads of each process while all of this machine compute."""
    return max(1, _processors() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def set_threads(count: int) -> None:
    """Computes with so many threads, unless the user has said with how many."""
    if os.environ.get("OMP_NUM_THREADS", "1") == "1":  # what `torchrun` sets where nothing is said
        torch.set_num_threads(count)


def structure(model: nn.Module) -> str:
    """Digest of the names, shapes and kinds of a network's tensors, in hexadecimal."""
    facts = [[name, list(tensor.shape), str(tensor.dtype)] for name, tensor in model.state_dict().items()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def order_key(number: int) -> str:
    """Key of the order of this number, counted from 1."""
    return f"order-{number}"


def answer_key(number: int, rank: int) -> str:
    """Key of what a process answers to an order."""
    return f"answer-{number}-{rank}"


def team_key(number: int) -> str:
    """Prefix of the keys of a team that joins by this order."""
    return f"team-{number}"


def failure_key(rank: int) -> str:
    """Key of why a process has failed."""
    return f"failure-{rank}"


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise LostProcessError(
            "The processes of `torchrun` meet in a store of its first one, but that does not answer "
            f"({str(error).splitlines()[0]}). Start them again: what is finished is kept."
        ) from error
