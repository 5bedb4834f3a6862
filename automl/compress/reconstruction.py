"""Least-squares recovery: what a layer should weigh once some of its inputs are gone.

The weights that come nearest to the dense layer's outputs, in the mean square over real inputs, follow from the
inputs' covariance alone (He et al. 2017; GRAIL for k x k kernels). Channels are removed in one fixed order, so the
covariance is factorised once per layer, and each width is one back-substitution: leading blocks of a Cholesky factor
are the factors of the leading blocks.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.compress.importance import Scores
from automl.compress.statistics import InputStatistics, input_statistics
from automl.compress.surgery import KeptChannels, kept_entries
from automl.tracing.channel_map import FIXED, TracedModel

RIDGE = 1e-3
"""Added to the covariance's diagonal, relative to its mean; it draws the solution towards the dense weights."""

MOST_BYTES = 2**30
"""Recovered weights that are remembered take at most this much memory; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A layer's weights for one set of inputs; every output is there."""

    weight: Tensor
    """As the layer keeps it, with the removed inputs gone."""
    shift: Tensor
    """Shape `(outputs,)`: what is to be added to the bias, so that mean outputs stay as they were."""


class Recovery:
    """Recovered weights of every layer that reads removed channels, each solved once per width and kept."""

    def __init__(self, model: nn.Module, traced: TracedModel, scores: Scores, images: Iterable[Tensor]) -> None:
        """Runs the dense network once over `images`.

        Args:
            model: The dense network; it is not changed.
            traced: What tracing knows of it.
            scores: The order in which channels go; the same that `most_important` is given.
            images: Batches on the model's device; 128 images are enough for most layers.
        """
        self._model, self._traced = model, traced
        self._rank = _ranks(traced, scores)
        units = traced.channel_map.units
        readers = [layer.name for layer in traced.graph.layers if (f"{layer.name}.weight", 1) in units]
        self._solvers: dict[str, _Solver] = {}
        for name, statistics in input_statistics(model, readers, images).items():
            weight = model.get_parameter(f"{name}.weight").detach()
            self._solvers[name] = _Solver(weight.cpu().double(), statistics, self._order(name))
        self._known: dict[tuple[str, bytes], Recovered] = {}
        self._known_bytes = 0

    def apply(self, smaller: nn.Module, kept: KeptChannels) -> None:
        """Gives `smaller`, the network sliced to `kept`, the recovered weights; tensors are replaced, not written.

        A layer without a bias gets no shift: the batch norm behind it is recalibrated anyway.
        """
        entries = kept_entries(self._traced.channel_map, kept)
        for name in self._solvers:
            inputs = entries.get((f"{name}.weight", 1))
            if inputs is None:
                continue
            found = self._recovered(name, inputs)
            outputs = entries.get((f"{name}.weight", 0))
            rows = slice(None) if outputs is None else torch.from_numpy(outputs)
            module = smaller.get_submodule(name)
            module.weight = _like(module.weight, found.weight[rows])
            bias = module.bias
            if isinstance(bias, Tensor):
                module.bias = _like(bias, bias.detach().cpu().double() + found.shift[rows])

    def _recovered(self, name: str, inputs: NDArray[np.int64]) -> Recovered:
        key = (name, inputs.tobytes())
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._solvers[name].solve(inputs)
            self._known_bytes += found.weight.nbytes
            while self._known_bytes > MOST_BYTES and len(self._known) > 1:
                oldest = next(iter(self._known))
                self._known_bytes -= self._known.pop(oldest).weight.nbytes
        return found

    def _order(self, name: str) -> NDArray[np.int64]:
        """A layer's input channels, those that stay longest first; what no policy removes comes before all."""
        units = self._traced.channel_map.units[f"{name}.weight", 1]
        rank = np.where(units == FIXED, -1.0, self._rank[units])
        return np.argsort(rank, kind="stable")


class _Solver:
    """The normal equations of one layer, factorised in the order in which its inputs go."""

    def __init__(self, weight: Tensor, statistics: InputStatistics, order: NDArray[np.int64]) -> None:
        self._shape = weight.shape
        self._taps = statistics.entries_per_channel
        self._order = order
        entries = self._entries(order)
        covariance = statistics.covariance[entries][:, entries]
        ridge = RIDGE * float(covariance.diagonal().mean())
        # A channel that never changes has no variance: the smallest ridge keeps the factor alive.
        covariance.diagonal().add_(max(ridge, torch.finfo(torch.float64).tiny))
        self._covariance = covariance
        self._mean = statistics.mean[entries]
        self._dense = self._matrix(weight)[:, entries]  # [rows, entries]
        self._factor = torch.linalg.cholesky(covariance)
        self._forward = torch.linalg.solve_triangular(self._factor, covariance @ self._dense.T, upper=False)

    def solve(self, inputs: NDArray[np.int64]) -> Recovered:
        """The weights for these input channels, ascending."""
        positions = np.flatnonzero(np.isin(self._order, inputs))
        kept = self._entries(positions)
        count = len(kept)
        if len(positions) == positions[-1] + 1:  # the first ones of the order: a leading block
            upper = self._factor[:count, :count].T
            solved = torch.linalg.solve_triangular(upper, self._forward[:count], upper=True)
        else:  # several groups feed the layer, and their orders interleave
            block = self._covariance[kept][:, kept]
            solved = torch.linalg.solve(block, self._covariance[kept] @ self._dense.T)
        by_output = self._dense @ self._mean - solved.T @ self._mean[kept]
        shift = by_output.reshape(self._shape[0], -1).sum(dim=1)
        ascending = np.argsort(self._order[positions], kind="stable")
        weight = solved.T[:, self._entries(ascending)]
        return Recovered(self._tensor(weight, len(positions)), shift)

    def _entries(self, channels: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy((channels[:, None] * self._taps + np.arange(self._taps)).reshape(-1))

    def _matrix(self, weight: Tensor) -> Tensor:
        """Outputs as rows; where the taps are not among the entries, each output has a row per tap."""
        if self._taps > 1 or weight.ndim == 2:
            return weight.flatten(1)
        return weight.permute(0, 2, 3, 1).flatten(0, 2)

    def _tensor(self, matrix: Tensor, channels: int) -> Tensor:
        if self._taps > 1 or len(self._shape) == 2:
            return matrix.reshape(self._shape[0], channels, *self._shape[2:])
        return matrix.reshape(self._shape[0], *self._shape[2:], channels).permute(0, 3, 1, 2)


def _ranks(traced: TracedModel, scores: Scores) -> NDArray[np.float64]:
    """For each unit, its place in the order of its group: 0 stays longest."""
    rank = np.zeros(traced.channel_map.count)
    for group in traced.channel_map.channels:
        order = np.argsort(-scores[group], kind="stable")
        rank[traced.channel_map.group_units(group)] = np.argsort(order, kind="stable")
    return rank


def _like(parameter: Tensor | nn.Module, values: Tensor) -> nn.Parameter:
    assert isinstance(parameter, Tensor)
    moved = values.to(parameter.device, parameter.dtype).contiguous()
    return nn.Parameter(moved, requires_grad=parameter.requires_grad)
