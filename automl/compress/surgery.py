"""Removes channels: a smaller network of the same class, which computes what the masked dense network computes."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MethodType
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.tracing.channel_map import FIXED, ChannelMap

KeptChannels = Mapping[str, NDArray[np.int64]]
"""Channel group -> channels kept, ascending; a group that is absent keeps all."""


def slim(model: nn.Module, channel_map: ChannelMap, kept: KeptChannels, *, own_memory: bool = False) -> nn.Module:
    """A network that holds only the kept channels.

    No tensor that stays whole is copied unless asked: the result shares it with `model`, so that a search over many
    policies never copies the dense network. Buffers are always its own, because batch-norm recalibration writes them.

    Args:
        model: The dense network; it is not changed.
        channel_map: From tracing `model`.
        kept: Channels kept of each group.
        own_memory: Give the result its own copy of every parameter, for training.
    """
    slices = _Slices.of(model, kept_entries(channel_map, kept))
    modules = {id(module): _shell(module) for module in model.modules()}
    for module in model.modules():
        smaller = modules[id(module)]
        for name, child in module._modules.items():
            smaller._modules[name] = None if child is None else modules[id(child)]
        for name, parameter in module._parameters.items():
            if parameter is not None:
                smaller._parameters[name] = cast(nn.Parameter, slices.take(parameter, copy=own_memory))
        for name, buffer in module._buffers.items():
            if buffer is not None:
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


def _shell(module: nn.Module) -> nn.Module:
    """A new module of the same class with the same attributes and hooks, and empty tables of tensors and children."""
    shell = module.__class__.__new__(module.__class__)
    shell.__dict__.update(module.__dict__)
    shell._parameters = dict(module._parameters)
    shell._buffers = dict(module._buffers)
    shell._modules = dict(module._modules)
    return shell


@dataclass(frozen=True, slots=True)
class _Slices:
    """Tensors without their removed entries, each made once, so that what modules share stays shared."""

    names: Mapping[int, str]
    entries: Mapping[tuple[str, int], NDArray[np.int64]]
    done: dict[int, Tensor]

    @classmethod
    def of(cls, model: nn.Module, entries: Mapping[tuple[str, int], NDArray[np.int64]]) -> "_Slices":
        tensors = [*model.named_parameters(), *model.named_buffers()]
        return cls({id(tensor): name for name, tensor in tensors}, entries, {})

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
