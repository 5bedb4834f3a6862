"""Processes that train one network together: one leads, the others compute their part of each gradient."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import Store

from automl.core.errors import LostProcessError

_PATIENCE = timedelta(days=7)
"""The others wait while the leader measures, however long that takes: who has died is noticed by its connections."""


@dataclass(slots=True)
class Team:
    """One of the processes, as it sees the others; see `joined`."""

    rank: int
    """0 leads."""
    size: int
    """Number of processes, at least 2."""
    device: torch.device
    """Where this one computes."""
    parting: bool = False
    """Whether all of them know that the training has ended, and leave together."""

    def part(self, batch: list[int]) -> list[int]:
        """This process's images of a batch; the parts of all processes make the whole batch, in order."""
        return batch[len(batch) * self.rank // self.size : len(batch) * (self.rank + 1) // self.size]

    def summed(self, values: Tensor) -> Tensor:
        """The sum over all processes, in all of them; `values` is overwritten.

        Raises:
            LostProcessError: If one of them has ended.
        """
        with _all_there():
            dist.all_reduce(values)
        return values

    def rows(self, values: Tensor) -> Tensor:
        """The values of all processes, shape `[size, N]` for `[N]` in each; raises what `summed` raises."""
        rows = values.new_zeros(self.size, len(values))
        rows[self.rank] = values
        return self.summed(rows)

    def led(self, values: Tensor) -> Tensor:
        """The leader's values, in all processes; `values` is overwritten. Raises what `summed` raises."""
        with _all_there():
            dist.broadcast(values, src=0)
        return values

    def take_over(self, module: nn.Module) -> None:
        """Gives every process the leader's weights and buffers, in place; raises what `summed` raises."""
        for tensor in module.state_dict().values():
            tensor.copy_(self.led(tensor.to(self.device).contiguous()))


@contextmanager
def joined(store: Store, rank: int, size: int, device: torch.device) -> Iterator[Team]:
    """Makes this process one of a team for as long as the body runs; all join together.

    They leave together where they are `parting`. Elsewhere this process has failed, and must end: by that the others
    notice it.

    Args:
        store: Where the processes find each other; a new one, or a new prefix of one, for each team.
        rank: Of this process, 0 for the one that leads.
        size: Number of processes.
        device: Where this one computes; the others on the same kind of device.

    Raises:
        LostProcessError: If another process has ended.
    """
    team = Team(rank, size, device)
    with _all_there():
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo", store=store, rank=rank, world_size=size, timeout=_PATIENCE
        )
    try:
        yield team
    finally:
        if team.parting:
            with _all_there():
                dist.barrier()  # without it, gloo aborts the process that is the last to leave
            dist.destroy_process_group()


@contextmanager
def _all_there() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise LostProcessError(
            "A training in several processes needs all of them, but one has ended. "
            "Whole epochs are kept: the same command, or `automl resume RUN`, goes on from there."
        ) from error
