"""Removes channels: a smaller network of the same class, which computes what the masked dense network computes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MethodType
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.compress.dropped import Constant, Placeholder
from automl.tracing.channel_map import FIXED, ChannelMap

KeptChannels = Mapping[str, NDArray[np.int64]]
"""Channel group -> channels kept, ascending, none for a dropped branch; a group that is absent keeps all."""
_STAND_INS = (Placeholder, Constant, nn.Identity)


def slim(model: nn.Module, channel_map: ChannelMap, kept: KeptChannels, *, own_memory: bool = False) -> nn.Module:
    """A network that holds only the kept channels; `compress.dropped` stands in for layers that keep none.

    No tensor that stays whole is copied unless asked: the result shares it with `model`, so that a search over many
    policies never copies the dense network. Buffers are always its own, because batch-norm recalibration writes them.

    Args:
        model: The dense network; it is not changed.
        channel_map: From tracing `model`.
        kept: Channels kept of each group.
        own_memory: Give the result its own copy of every parameter, for training.
    """
    slices = _Slices.of(model, kept_entries(channel_map, kept))
    modules = {id(module): _stand_in(module, slices) or shell(module) for module in model.modules()}
    for module in model.modules():
        smaller = modules[id(module)]
        for name, child in module._modules.items():
            smaller._modules[name] = None if child is None else modules[id(child)]
        whole = not isinstance(smaller, _STAND_INS)
        for name, parameter in module._parameters.items():
            if parameter is not None and (whole or slices.left(parameter)):
                smaller._parameters[name] = cast(nn.Parameter, slices.take(parameter, copy=own_memory))
        for name, buffer in module._buffers.items():
            if buffer is not None and (whole or slices.left(buffer)):
                smaller._buffers[name] = slices.take(buffer, copy=True)
        _rebind(smaller, modules)
        _resize(module, smaller)
    return modules[id(model)]


def kept_entries(channel_map: ChannelMap, kept: KeptChannels) -> dict[tuple[str, int], NDArray[np.int64]]:
    """Indices that stay of every tensor dimension that loses some; (key, dimension) -> ascending indices."""
    stays = np.ones(channel_map.count + 1, dtype=bool)  # the last one stands for FIXED == -1
    for group, channels in kept.items():
        mask = np.zeros(channel_map.channels[group], dtype=bool)
        mask[channels] = True
        stays[channel_map.group_units(group)] = mask
    assert stays[FIXED]
    masks = {dimension: stays[units] for dimension, units in channel_map.units.items()}
    return {dimension: np.flatnonzero(mask) for dimension, mask in masks.items() if not mask.all()}


def shell(module: nn.Module) -> nn.Module:
    """A new module of the same class with the same attributes and hooks, and empty tables of tensors and children."""
    shell = module.__class__.__new__(module.__class__)
    shell.__dict__.update(module.__dict__)
    # Not by attribute: `nn.Module.__setattr__` takes as long as slicing a small tensor.
    for table in ("_parameters", "_buffers", "_modules"):
        shell.__dict__[table] = dict(module.__dict__[table])
    return shell


def _stand_in(module: nn.Module, slices: "_Slices") -> nn.Module | None:
    """What replaces a layer without outputs or inputs, or a norm without channels; None where the module goes on.

    Of the module's tensors it keeps those that still hold values: a constant's bias, a batch norm's counter.
    """
    if not slices.drops:
        return None
    stand_in: nn.Module
    match module:
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d() | nn.Linear():
            weight = module._parameters["weight"]
            outputs, inputs = (1, 1) if weight is None else slices.shape(weight)[:2]
            if outputs and inputs:
                return None
            stride = () if isinstance(module, nn.Linear) else module.stride
            stand_in = Constant(outputs, stride) if outputs else Placeholder(stride)
        case nn.modules.batchnorm._BatchNorm() | nn.PReLU():
            if all(slices.left(tensor) for tensor in (*module.parameters(), *module.buffers())):
                return None
            stand_in = nn.Identity()
        case _:
            return None
    stand_in.training = module.training
    return stand_in


@dataclass(frozen=True, slots=True)
class _Slices:
    """Tensors without their removed entries, each made once, so that what modules share stays shared."""

    names: Mapping[int, str]
    entries: Mapping[tuple[str, int], NDArray[np.int64]]
    done: dict[int, Tensor]
    drops: bool
    """Whether a tensor loses everything."""

    @classmethod
    def of(cls, model: nn.Module, entries: Mapping[tuple[str, int], NDArray[np.int64]]) -> "_Slices":
        tensors = [*model.named_parameters(), *model.named_buffers()]
        drops = any(indices.size == 0 for indices in entries.values())
        return cls({id(tensor): name for name, tensor in tensors}, entries, {}, drops)

    def shape(self, tensor: Tensor) -> tuple[int, ...]:
        """The shape without the removed entries."""
        name = self.names[id(tensor)]
        cut = (self.entries.get((name, dim)) for dim in range(tensor.ndim))
        return tuple(size if indices is None else len(indices) for size, indices in zip(tensor.shape, cut, strict=True))

    def left(self, tensor: Tensor) -> int:
        """Values left of `tensor`."""
        return math.prod(self.shape(tensor))

    def take(self, tensor: Tensor, *, copy: bool) -> Tensor:
        """`tensor` without the removed entries; itself where none are and no copy is asked."""
        if id(tensor) not in self.done:
            self.done[id(tensor)] = self._taken(tensor, copy)
        return self.done[id(tensor)]

    def _taken(self, tensor: Tensor, copy: bool) -> Tensor:
        values = tensor.detach()
        for dim in range(tensor.ndim):
            indices = self.entries.get((self.names[id(tensor)], dim))
            if indices is not None:
                values = values.index_select(dim, torch.from_numpy(indices).to(values.device))
        if values.shape == tensor.shape:
            if not copy:
                return tensor
            values = values.clone()
        if isinstance(tensor, nn.Parameter):
            return nn.Parameter(values, requires_grad=tensor.requires_grad)
        return values


def _rebind(module: nn.Module, modules: Mapping[int, nn.Module]) -> None:
    """Points methods that a module keeps as attributes (`self.forward = self._small_forward`) at the new modules."""
    for name, value in module.__dict__.items():
        if isinstance(value, MethodType) and id(value.__self__) in modules:
            module.__dict__[name] = MethodType(value.__func__, modules[id(value.__self__)])


def _resize(dense: nn.Module, smaller: nn.Module) -> None:
    """Makes the sizes that a module keeps as attributes agree with its weights."""
    match smaller:
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            before = cast(nn.Conv2d, dense)
            if before.groups == before.in_channels > 1:
                smaller.groups = smaller.weight.shape[0] * before.groups // before.out_channels
            smaller.out_channels = smaller.weight.shape[0]
            smaller.in_channels = smaller.weight.shape[1] * smaller.groups
        case nn.Linear():
            smaller.out_features, smaller.in_features = smaller.weight.shape
        case nn.modules.batchnorm._BatchNorm():
            statistics = smaller.weight if smaller.running_mean is None else smaller.running_mean
            smaller.num_features = smaller.num_features if statistics is None else len(statistics)
        case nn.PReLU():
            smaller.num_parameters = len(smaller.weight)
