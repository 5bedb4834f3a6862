"""Least-squares recovery: what a layer should weigh once some of its inputs are gone.

The weights that come nearest to the dense layer's outputs, in the mean square over real inputs, follow from the
inputs' covariance alone (He et al. 2017; GRAIL for k x k kernels). Channels are removed in one fixed order, so the
covariance is factorised once per layer, and each width is one back-substitution: leading blocks of a Cholesky factor
are the factors of the leading blocks. What is lost at every width falls out of the same factor.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from automl.compress.batch_norm import correct
from automl.compress.factor import RIDGE, factorise
from automl.compress.importance import Scores
from automl.compress.statistics import InputStatistics, NetworkStatistics, as_matrix, as_weight, named
from automl.compress.surgery import KeptChannels, kept_entries
from automl.tracing.channel_map import TracedModel

MOST_BYTES = 2**30
"""Recovered weights that are remembered take at most this much memory; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A layer's weights for one set of inputs; every output is there."""

    weight: Tensor
    """As the layer keeps it, with the removed inputs gone."""
    shift: Tensor
    """Shape `(outputs,)`: what is to be added to the bias, so that mean outputs stay as they were."""
    ratio: Tensor
    """Shape `(outputs,)`: variance of the outputs, relative to the dense ones; in [0, 1]."""

    def rows(self, outputs: Tensor) -> "Recovered":
        """The same for some of the outputs."""
        return Recovered(*(each.index_select(0, outputs) for each in (self.weight, self.shift, self.ratio)))


class Recovery:
    """Recovered weights of every layer that reads removed channels, each solved once per width and kept."""

    notes: tuple[str, ...]
    """Sentences about layers that are recovered in part, with extra damping, or not at all."""

    def __init__(
        self,
        model: nn.Module,
        traced: TracedModel,
        scores: Scores,
        statistics: NetworkStatistics,
        *,
        ridge: float = RIDGE,
    ) -> None:
        """Factorises every layer's covariance; no data is read.

        Args:
            model: The dense network; it is not changed.
            traced: What tracing knows of it.
            scores: The order in which channels go; the same that `most_important` is given.
            statistics: Of the layers' inputs, from `input_statistics`.
            ridge: Added to each covariance's diagonal, relative to its mean; singular ones get more.
        """
        self._traced = traced
        units = traced.channel_map.units
        rank = _ranks(traced, scores)
        self._layers = {
            name: _Layer(model.get_parameter(f"{name}.weight"), each, rank[units[f"{name}.weight", 1]], ridge)
            for name, each in statistics.layers.items()
        }
        self._norms = statistics.norms
        self._dimensions = {name: ((f"{name}.weight", 1), (f"{name}.weight", 0)) for name in self._layers}
        wanted = {dimension for both in self._dimensions.values() for dimension in both}
        self._read = replace(traced.channel_map, units={key: units[key] for key in wanted & units.keys()})
        self.notes = (*statistics.notes, *_notes(statistics.layers, self._layers, ridge))
        self._known: dict[tuple[str, bytes], Recovered] = {}
        self._known_bytes = 0

    def apply(self, smaller: nn.Module, kept: KeptChannels, *, own_memory: bool = False) -> None:
        """Gives `smaller`, the network sliced to `kept`, the recovered weights; tensors are replaced, not written.

        A weight whose outputs all stay is the table's own, unless `own_memory` asks for a copy that can be trained.

        The mean that a layer loses goes into its bias, or else into the running mean of the batch norm behind it,
        whose running variance shrinks as its input's does (closed-form correction, without a data pass). A layer
        that has lost all its inputs has no weight, and its mean output goes the same way.
        """
        entries = kept_entries(self._read, kept)
        for name, (reads, makes) in self._dimensions.items():
            inputs, outputs = entries.get(reads), entries.get(makes)
            if inputs is None or (outputs is not None and not len(outputs)):
                continue
            found = self._recovered(name, inputs)
            if outputs is not None:
                found = found.rows(torch.from_numpy(outputs).to(found.weight.device))
            elif own_memory:
                found = replace(found, weight=found.weight.clone())
            norm = self._norms.get(name)
            _install(found, _at(smaller, name), None if norm is None else _at(smaller, norm))

    @property
    def held_bytes(self) -> int:
        """Memory of the factors and of the recovered weights that are remembered."""
        return self._known_bytes + sum(layer.bytes for layer in self._layers.values())

    def curve(self, group: str) -> NDArray[np.float64]:
        """What the readers of a group lose at each width of it, while all other groups are whole.

        Entry `w`, of `channels + 1`, is the sum over the described readers of the least mean square error of their
        outputs, with the first `w` channels of the order, divided by the outputs' variance (both with the ridge's
        share). It falls from the number of readers to zero; it is all zero for a group without described readers.
        """
        units = self._traced.channel_map.group_units(group)
        total = np.zeros(self._traced.channel_map.channels[group] + 1)
        for name, layer in self._layers.items():
            mine = self._traced.channel_map.units[f"{name}.weight", 1]
            reads = (mine >= units.start) & (mine < units.stop)
            if reads.any():
                total += layer.curve(reads, len(total) - 1)
        return total

    def _recovered(self, name: str, inputs: NDArray[np.int64]) -> Recovered:
        key = (name, inputs.tobytes())
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._layers[name].solve(inputs)
            self._known_bytes += found.weight.nbytes
            while self._known_bytes > MOST_BYTES and len(self._known) > 1:
                oldest = next(iter(self._known))
                self._known_bytes -= self._known.pop(oldest).weight.nbytes
        return found


class _Layer:
    """The normal equations of one layer, factorised in the order in which its inputs go."""

    def __init__(self, weight: Tensor, statistics: InputStatistics, rank: NDArray[np.float64], ridge: float) -> None:
        """`rank` has one entry per input channel; those of the lowest stay longest."""
        self._dense = weight.detach()
        self._taps = statistics.entries_per_channel
        self._order = np.argsort(rank, kind="stable")
        entries = self._entries(self._order)
        self.factor = factorise(statistics.covariance[entries][:, entries], statistics.rows, ridge)
        dense = as_matrix(weight, self._taps)[:, entries]
        self._mean = statistics.mean[entries]
        self._mean_output = dense @ self._mean
        self._explained = self.factor.lower.T @ dense.T  # [entries, rows]: squared, the variance that each entry adds
        self._variance = self._explained.square().sum(dim=0) - self.factor.added * dense.square().sum(dim=1)

    @property
    def bytes(self) -> int:
        """Memory of the factor and of what was made of it."""
        return self.factor.lower.nbytes + self._explained.nbytes

    def solve(self, inputs: NDArray[np.int64]) -> Recovered:
        """The weights for these input channels, ascending."""
        positions = np.flatnonzero(np.isin(self._order, inputs))
        kept = self._entries(positions)
        lower, count = self.factor.lower, len(kept)
        if len(positions) == 0 or len(positions) == positions[-1] + 1:  # the first of the order: a leading block
            solved = torch.linalg.solve_triangular(lower[:count, :count].T, self._explained[:count], upper=True)
            variance = self._explained[:count].square().sum(dim=0)
        else:  # several groups feed the layer, and their orders interleave
            rows = lower[kept]
            target = rows @ self._explained
            solved = torch.cholesky_solve(target, torch.linalg.cholesky(rows @ rows.T))
            variance = (solved * target).sum(dim=0)
        ascending = np.argsort(self._order[positions], kind="stable")
        weight = as_weight(solved.T[:, self._entries(ascending)], self._taps, self._dense.shape[2:])
        shift = self._per_output(self._mean_output - solved.T @ self._mean[kept])
        left = self._per_output(variance - self.factor.added * solved.square().sum(dim=0))
        whole = self._per_output(self._variance)
        ratio = torch.where(whole > 0, left / whole, 1.0) if count else torch.ones_like(whole)
        return Recovered(*(each.to(self._dense).contiguous() for each in (weight, shift, ratio)))

    def curve(self, reads: NDArray[np.bool_], channels: int) -> NDArray[np.float64]:
        """Error at each width of the one group whose input channels are marked, relative to the whole variance."""
        mine = np.flatnonzero(reads[self._order])  # positions in the order, the group's first channel first
        per_channel = len(mine) // channels
        if mine[0] + len(mine) == len(self._order):  # the last of the order, behind what is never removed
            lost = self._explained[self._entries(mine)].square().sum(dim=1)
        else:
            # Error of a removed set R is W_R (H^-1_RR)^-1 W_R^T; sets that grow are leading blocks once more.
            gone = self._entries(mine).flip(0)
            inverse = torch.cholesky_inverse(self.factor.lower)
            weight = as_matrix(self._dense, self._taps)[:, self._entries(self._order)][:, gone].T
            block = torch.linalg.cholesky(inverse[gone][:, gone])
            lost = torch.linalg.solve_triangular(block, weight, upper=False).square().sum(dim=1).flip(0)
        by_channel = lost.reshape(channels, per_channel * self._taps).sum(dim=1).numpy()
        whole = float(self._explained.square().sum())
        error = np.append(by_channel[::-1].cumsum()[::-1], 0.0)
        return error / whole if whole > 0 else np.zeros_like(error)

    def _entries(self, channels: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy((channels[:, None] * self._taps + np.arange(self._taps)).reshape(-1))

    def _per_output(self, values: Tensor) -> Tensor:
        return values.reshape(len(self._dense), -1).sum(dim=1)


def _at(module: nn.Module, path: str) -> nn.Module:
    """`get_submodule`, which takes as long as all else that a small layer needs."""
    for name in path.split("."):
        child = module._modules[name]
        assert child is not None
        module = child
    return module


def _install(found: Recovered, layer: nn.Module, norm: nn.Module | None) -> None:
    # Not by attribute: `nn.Module.__setattr__` takes longer than slicing the tensor.
    weight, bias = layer._parameters.get("weight"), layer._parameters.get("bias")
    if weight is not None:
        layer._parameters["weight"] = nn.Parameter(found.weight, requires_grad=weight.requires_grad)
    if bias is not None:
        layer._parameters["bias"] = nn.Parameter(bias.detach() + found.shift, requires_grad=bias.requires_grad)
    if isinstance(norm, _BatchNorm):
        correct(norm, found.shift if bias is None else None, found.ratio)


def _ranks(traced: TracedModel, scores: Scores) -> NDArray[np.float64]:
    """For each unit its place in the order of its group, 0 stays longest; last, for `FIXED`, a place before all."""
    rank = np.full(traced.channel_map.count + 1, -1.0)
    for group in traced.channel_map.channels:
        order = np.argsort(-scores[group], kind="stable")
        rank[traced.channel_map.group_units(group)] = np.argsort(order, kind="stable")
    return rank


def _notes(statistics: Mapping[str, InputStatistics], layers: Mapping[str, _Layer], ridge: float) -> Iterator[str]:
    damped = {name: layer.factor.ridge for name, layer in layers.items() if layer.factor.ridge > ridge}
    few = [name for name in damped if statistics[name].rows <= len(statistics[name].mean)]
    silent = [name for name in damped if name not in few]
    for names, reason in (
        (few, "there are too few calibration images for so many inputs, and more images would help"),
        (silent, "some inputs never change or repeat others"),
    ):
        if names:
            most = max(damped[name] for name in names)
            yield (
                f"Singular covariance, damped by up to {most:.1g} instead of {ridge:.1g} of its mean variance, because "
                f"{reason}: {named(names)}."
            )
