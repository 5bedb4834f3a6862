"""Structured optimal brain surgeon: the order in which channels go, if the layers that read them make up for each.

A layer with inputs of covariance H loses tr(W_B (H^-1_BB)^-1 W_B^T) of its output's variance when the block B of its
inputs goes and the others are refitted (LeCun et al. 1989; Hassibi and Stork 1993; for blocks Frantar and Alistarh
2022). Removing the cheapest channel again and again, and refitting each time, gives the order.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.compress.factor import RIDGE, factorise
from automl.compress.statistics import NetworkStatistics, as_matrix
from automl.tracing.channel_map import TracedModel

_ONE_BY_ONE = 128
"""Groups of at most so many channels lose them one by one."""
_SHARE = 64
"""In a wider group one channel in so many goes per step, chosen one by one among twice as many."""


def elimination_scores(
    model: nn.Module, traced: TracedModel, statistics: NetworkStatistics
) -> dict[str, NDArray[np.float64]]:
    """For each group with a described reader, the step at which each channel goes; the last one scores highest.

    Each layer's error is divided by the variance of its dense output, so that each has one vote.

    Args:
        model: The dense network.
        traced: What tracing knows of it.
        statistics: Of its inputs, from `input_statistics`.
    """
    channel_map = traced.channel_map
    readers = {
        group: [name for name in statistics.layers if _reads(channel_map.units[f"{name}.weight", 1], units)]
        for group in channel_map.channels
        for units in [channel_map.group_units(group)]
    }
    left = Counter(name for names in readers.values() for name in names)
    layers: dict[str, _Layer] = {}
    scores: dict[str, NDArray[np.float64]] = {}
    for group, names in readers.items():
        if not names:
            continue
        for name in names:
            if name not in layers:
                layers[name] = _Layer.of(model, name, statistics)
        units = channel_map.group_units(group)
        consumers = [layers[name].consumer(channel_map.units[f"{name}.weight", 1], units) for name in names]
        scores[group] = np.argsort(elimination_order(consumers)).astype(np.float64)
        for name in names:
            left[name] -= 1
            if not left[name]:
                del layers[name]  # an inverse is as large as the covariance
    return scores


class Consumer:
    """One layer's reading of a group: the inverse covariance and the weights, of the channels that are still there."""

    def __init__(self, inverse: Tensor, weight: Tensor, channels: int) -> None:
        """Takes over both tensors.

        Args:
            inverse: Shape `(channels * entries, channels * entries)`, each channel's entries together.
            weight: Shape `(rows, channels * entries)`, in a unit where the dense output has variance 1.
            channels: Channels of the group.
        """
        # Only the products of columns count, and those of the triangular factor are the same.
        self._weight = torch.linalg.qr(weight, mode="r").R if len(weight) > weight.shape[1] else weight
        self._inverse = inverse
        self._entries = inverse.shape[0] // channels
        self.channels = channels

    def losses(self) -> Tensor:
        """Error of removing each channel alone, the others refitted; shape `(channels,)`."""
        size, count = self._entries, self.channels
        if size == 1:
            return self._weight.square().sum(dim=0) / self._inverse.diagonal()
        tiles = self._inverse.reshape(count, size, count, size)
        blocks = tiles.diagonal(dim1=0, dim2=2).permute(2, 0, 1)
        columns = self._weight.reshape(-1, count, size).permute(1, 2, 0)
        lower = torch.linalg.cholesky(blocks)
        scaled: Tensor = torch.linalg.solve_triangular(lower, columns, upper=False)
        return scaled.square().sum(dim=(1, 2))

    def part(self, channels: Tensor) -> "Consumer":
        """The same for some of the channels alone; a copy."""
        entries = self._of(channels)
        return Consumer(self._inverse[entries][:, entries], self._weight[:, entries], len(channels))

    def move(self, holes: Tensor, fillers: Tensor) -> None:
        """Exchanges the places of two lists of channels."""
        there, here = self._of(torch.cat([holes, fillers])), self._of(torch.cat([fillers, holes]))
        self._weight[:, there] = self._weight[:, here]
        self._inverse[there] = self._inverse[here]
        self._inverse[:, there] = self._inverse[:, here]

    def drop(self, count: int) -> None:
        """Removes the last `count` channels and refits the others."""
        self.channels -= count
        kept = self.channels * self._entries
        across = self._inverse[kept:, :kept]
        lower = torch.linalg.cholesky(self._inverse[kept:, kept:])
        half = torch.linalg.solve_triangular(lower, across, upper=False)
        weight = torch.linalg.solve_triangular(lower, self._weight[:, kept:].T, upper=False)
        self._weight = self._weight[:, :kept].addmm_(weight.T, half, alpha=-1)
        self._inverse = self._inverse[:kept, :kept].addmm_(half.T, half, alpha=-1)

    def _of(self, channels: Tensor) -> Tensor:
        return (channels[:, None] * self._entries + torch.arange(self._entries)).flatten()


def elimination_order(consumers: Sequence[Consumer], most: int | None = None) -> NDArray[np.int64]:
    """The first `most` channels, or all, in the order in which they go; the consumers are used up."""
    channels = torch.arange(consumers[0].channels)
    least = 0 if most is None else len(channels) - most
    step = 0 if len(channels) <= _ONE_BY_ONE else _SHARE
    gone: list[Tensor] = []
    while len(channels) > least:
        count = math.ceil(len(channels) / step) if step else 1
        last = _cheapest(consumers, count)
        gone.append(channels[last])
        rest = len(channels) - count
        holes = last[last < rest]
        fillers = torch.tensor(sorted(set(range(rest, len(channels))) - set(last.tolist())), dtype=torch.int64)
        for consumer in consumers:
            consumer.move(holes, fillers)
            consumer.drop(count)
        channels[holes] = channels[fillers]
        channels = channels[:rest]
    return torch.cat(gone).numpy()


def _cheapest(consumers: Sequence[Consumer], count: int) -> Tensor:
    """The `count` channels that go next, in order: the exact order among the `2 * count` cheapest."""
    losses = torch.stack([consumer.losses() for consumer in consumers]).sum(dim=0)
    if count == 1:
        return losses.argmin(dim=0, keepdim=True)
    candidates = losses.topk(min(2 * count, len(losses)), largest=False).indices.sort().values
    order = elimination_order([consumer.part(candidates) for consumer in consumers], count)
    return candidates[torch.from_numpy(order)]


def _reads(units: NDArray[np.int64], group: slice) -> bool:
    return bool(((units >= group.start) & (units < group.stop)).any())


@dataclass(frozen=True, slots=True)
class _Layer:
    """The inverse of a layer's damped input covariance, with its weights beside it."""

    inverse: Tensor
    weight: Tensor
    """Shape `(rows, entries)`, in a unit where the dense output has variance 1."""
    taps: int

    @classmethod
    def of(cls, model: nn.Module, name: str, statistics: NetworkStatistics) -> "_Layer":
        each = statistics.layers[name]
        factor = factorise(each.covariance, each.rows, RIDGE)
        weight = as_matrix(model.get_parameter(f"{name}.weight"), each.entries_per_channel)
        variance = float((weight @ factor.lower).square().sum())
        return cls(torch.cholesky_inverse(factor.lower), weight / math.sqrt(variance or 1.0), each.entries_per_channel)

    def consumer(self, units: NDArray[np.int64], group: slice) -> Consumer:
        """The part that reads one group."""
        mine = np.flatnonzero((units >= group.start) & (units < group.stop))
        by_channel = torch.from_numpy(mine[np.argsort(units[mine], kind="stable")])
        entries = (by_channel[:, None] * self.taps + torch.arange(self.taps)).flatten()
        return Consumer(self.inverse[entries][:, entries], self.weight[:, entries], group.stop - group.start)
