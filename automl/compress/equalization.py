"""Cross-layer equalization: channels of one reach, so that one grid per tensor serves them all.

Nagel et al. 2019, section 4.1: behind a rectifier a channel's scale may move from the layer that makes it to the layer
that reads it. The network answers as before. It pays for grids per tensor; grids per channel adapt by themselves.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from automl.core.graph import ModelGraph

_SWEEPS = 20
_SAME = 1e-4
"""Largest change of a logit by equalization, relative to the largest logit; rounding errors are smaller."""
_LEAST_REACH = 1e-8
"""A channel that weighs less on either side is dead, and keeps its scale."""

Pair = tuple[str, str]
"""A layer, and the one layer that reads its channels."""


class CappedReLU(nn.Module):
    """A rectifier that saturates at a value of each channel's own: what a ReLU6 becomes once channels are scaled."""

    cap: Tensor
    """Shape `(channels, 1, 1)`."""

    def __init__(self, cap: Tensor) -> None:
        """Takes the channels' caps, shape `(channels,)`, above 0."""
        super().__init__()
        self.register_buffer("cap", cap.reshape(-1, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Clamps maps `(N, C, H, W)` between 0 and the caps."""
        return torch.minimum(maps.relu(), self.cap)


@dataclass(frozen=True, slots=True)
class _Joint:
    """A pair, and the saturating rectifier between them, if there is one."""

    first: nn.Conv2d | nn.Linear
    second: nn.Conv2d | nn.Linear
    capped: CappedReLU | None


def equalize(network: nn.Module, graph: ModelGraph, images: Tensor) -> tuple[Pair, ...]:
    """Equalizes the reach of each channel in the layers on its two sides, in place.

    A pair stays as it is where its channels are read by more than one layer, or where scaling them changes what the
    network answers: a swish or an attention between the two does not pass a scale on.

    Args:
        network: In eval mode, its batch norms folded, with its own copy of every parameter.
        graph: Of the dense network; layers that the network no longer has are passed over.
        images: Shape `(N, C, H, W)`, on the network's device; a few are enough.

    Returns:
        The pairs that were equalized.
    """
    modules = dict(network.named_modules())
    capped = _with_caps(network, images)
    found: dict[Pair, _Joint] = {}
    with torch.no_grad():
        wanted = network(images)
        for pair in _pairs(graph):
            first, second = (modules.get(name) for name in pair)
            if not isinstance(first, nn.Conv2d | nn.Linear) or not isinstance(second, nn.Conv2d | nn.Linear):
                continue
            joint = _Joint(first, second, capped.get(pair[0]))
            if _passes(network, joint, images, wanted):
                found[pair] = joint
        for _ in range(_SWEEPS):
            for joint in found.values():
                _scale(joint, _factors(joint))
    return tuple(found)


def _pairs(graph: ModelGraph) -> Iterator[Pair]:
    """Neighbours whose channels nobody else makes or reads; a depthwise layer is a neighbour on either side."""
    layers = {layer.name: layer for layer in graph.layers}
    order = {name: place for place, name in enumerate(layers)}
    for group in graph.groups:
        depthwise = [name for name in group.producers if layers[name].kind == "depthwise"]
        makers = [name for name in group.producers if name not in depthwise]
        readers = [name for name in group.consumers if name not in depthwise]
        if len(makers) == len(readers) == 1:
            chain = [*makers, *sorted(depthwise, key=order.__getitem__), *readers]
            yield from pairwise(chain)


def _with_caps(network: nn.Module, images: Tensor) -> Mapping[str, CappedReLU]:
    """Puts a `CappedReLU` where a ReLU6 follows a layer; returns them by the layer's name."""
    last: dict[int, str] = {}
    keep: list[Tensor] = []  # an id may come back once its tensor has gone
    sources: dict[str, tuple[str, int]] = {}
    uses: dict[str, int] = {}

    def returned(name: str) -> "torch.utils.hooks.RemovableHandle":
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            last[id(output)] = name
            keep.append(output)

        return network.get_submodule(name).register_forward_hook(hook)

    def read(name: str) -> "torch.utils.hooks.RemovableHandle":
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            uses[name] = uses.get(name, 0) + 1
            source = last.get(id(inputs[0]))
            if source is not None:
                sources[name] = source, inputs[0].shape[1]

        return network.get_submodule(name).register_forward_pre_hook(hook)

    hooks = [returned(name) for name, each in network.named_modules() if isinstance(each, nn.Conv2d)]
    hooks += [read(name) for name, each in network.named_modules() if isinstance(each, nn.ReLU6)]
    try:
        with torch.no_grad():
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
    made = {}
    for path, (layer, channels) in sources.items():
        if uses[path] == 1:
            parent, _, name = path.rpartition(".")
            cap = torch.full((channels,), 6.0, device=images.device)
            made[layer] = network.get_submodule(parent)._modules[name] = CappedReLU(cap)
    return made


def _passes(network: nn.Module, joint: _Joint, images: Tensor, wanted: Tensor) -> bool:
    """Whether the network answers the same with other scales between the two; they are as before afterwards."""
    inputs = _inputs(joint.second)
    if inputs != len(joint.first.weight):
        return False  # flattened maps
    # From a tenth to ten times: what saturates at a value must be seen to do so.
    exponents = 2 * torch.rand(inputs, generator=torch.Generator().manual_seed(0)) - 1
    factors = (10**exponents).to(joint.first.weight)
    _scale(joint, factors)
    given = network(images)
    _scale(joint, 1 / factors)
    return bool(((given - wanted).abs() <= _SAME * wanted.abs().max()).all())


def _inputs(layer: nn.Conv2d | nn.Linear) -> int:
    """Channels that can be scaled one by one; 0 where filters read groups of them."""
    if isinstance(layer, nn.Linear):
        return layer.in_features
    return layer.in_channels if layer.groups == 1 or _is_depthwise(layer) else 0


def _is_depthwise(layer: nn.Conv2d | nn.Linear) -> bool:
    return isinstance(layer, nn.Conv2d) and 1 < layer.groups == layer.in_channels == layer.out_channels


def _factors(joint: _Joint) -> Tensor:
    """What each channel is to be multiplied by, so that both sides reach equally far (equation 11)."""
    made = joint.first.weight.abs().flatten(1).amax(dim=1)
    weight = joint.second.weight.abs()
    read = (weight if _is_depthwise(joint.second) else weight.transpose(0, 1)).flatten(1).amax(dim=1)
    return torch.where((made > _LEAST_REACH) & (read > _LEAST_REACH), (read / made).sqrt(), 1.0)


def _scale(joint: _Joint, factors: Tensor) -> None:
    """Multiplies what the first layer makes, and divides what the second one reads."""
    first, second = joint.first.weight.data, joint.second.weight.data
    first.mul_(factors.reshape(-1, *[1] * (first.ndim - 1)))
    if joint.first.bias is not None:
        joint.first.bias.data.mul_(factors)
    ahead = () if _is_depthwise(joint.second) else (1,)
    second.div_(factors.reshape(*ahead, -1, *[1] * (second.ndim - 1 - len(ahead))))
    if joint.capped is not None:
        joint.capped.cap.mul_(factors[:, None, None])
