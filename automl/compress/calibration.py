"""Makes a quantized network of a float one: grids for what flows through it, weights rounded layer after layer.

Two passes over a few images. The first one, in float, finds where activations lie, and mean and spread of what each
layer returns. In the second one each layer is rounded on what really arrives, roundings of the layers in front
included. Then its bias makes up for the mean that its outputs have lost (Nagel et al. 2019, section 4.2, the empirical
form), and the scales of its weights for the spread: clipped weights are smaller than they were, and what one layer
loses the next one loses again, so that a network of 50 layers would answer nearly the same to everything.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from automl.compress.activation_range import ActivationRange, Reach
from automl.compress.gptq import gptq
from automl.compress.gram import gram
from automl.compress.grid import Clip, Grid, weight_grid
from automl.compress.operators import OperatorMode, layer_of
from automl.compress.patches import grid_step, patches
from automl.compress.places import IMAGES, Places
from automl.compress.quantized import QuantizedNetwork
from automl.compress.statistics import MOST_ENTRIES
from automl.compress.surgery import shell
from automl.core.bits import BitWidths

MOST_BITS = 8
"""Of an activation that no layer reads, such as one that is only added."""
_LEAST_VARIANCE = 1e-10
_MOST_GAIN = 2.0
"""A spread is corrected by at most this factor either way."""


@dataclass(frozen=True, slots=True)
class Rounding:
    """How values are brought to their grids."""

    weights: Literal["nearest", "gptq"] = "nearest"
    per_channel: bool = True
    """Whether each output of a layer has its own scale."""
    clip: Clip = "mse"
    reach: Reach | None = None
    """None takes the extremes at 8 bits, where rare large values matter more than fine steps, else `mse`."""
    corrected: bool = True
    """Whether biases and scales make up for what the outputs have lost of their mean and spread."""

    def reach_at(self, bits: int) -> Reach:
        """How far the grid of an activation of so many bits goes."""
        return self.reach or ("max" if bits == MOST_BITS else "mse")


def quantize(
    network: nn.Module,
    places: Places,
    bits: Mapping[str, BitWidths],
    images: Tensor,
    rounding: Rounding = Rounding(),
) -> QuantizedNetwork:
    """The quantized network, which can answer and be trained.

    Args:
        network: In eval mode, batch norms folded. Its layers get new weights and biases; no tensor is written.
        places: Where its activations are quantized.
        bits: Layer -> bit-widths, of every layer that `network` still has and `places` can quantize.
        images: Shape `(N, C, H, W)`, on the network's device; 32 are enough to rank policies, 128 to export one.
        rounding: How.

    Raises:
        DataError: If an activation is not finite.
    """
    layers = _own_parameters(network, [layer for layer in places.reads if layer in bits])
    seen = _Seeing(network, places)
    if IMAGES in places.keys:
        seen.see(IMAGES, images)
    with torch.no_grad(), seen.watching():
        network(images)
    by_key = places.layers_of()
    activations = {}
    for key, each in seen.ranges.items():
        own = next((bits[layer].activation for layer in by_key[key] if layer in bits), MOST_BITS)
        activations[key] = each.grid(own, rounding.reach_at(own)).to(images.device)
    fitting = _Fitting(network, layers, bits, activations, seen.spreads, rounding)
    with torch.no_grad(), fitting.watching():
        network(activations[IMAGES].rounded(images) if IMAGES in activations else images)
    silent = [key for key, each in seen.ranges.items() if each.silent]
    rounded = {name: bits[name] for name in fitting.weights}
    return QuantizedNetwork(network, rounded, fitting.weights, activations, silent)


def _own_parameters(network: nn.Module, names: Sequence[str]) -> dict[str, nn.Conv2d | nn.Linear]:
    """The layers that are to be rounded, by name, with parameters of their own, and a bias, which corrects means."""
    modules = dict(network.named_modules())
    layers = {}
    for name in names:
        layer = modules.get(name)
        if isinstance(layer, nn.Conv2d | nn.Linear):
            weight = layer.weight.detach().clone()
            bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach().clone()
            layer._parameters.update(weight=nn.Parameter(weight), bias=nn.Parameter(bias))
            layers[name] = layer
    return layers


@dataclass(frozen=True, slots=True)
class _Spread:
    """Of each channel that a layer returns, shape `(channels,)`."""

    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, values: Tensor, layer: nn.Module) -> "_Spread":
        """Of what `layer` reads or returns: channels are the second dimension for convolutions, else the last."""
        dims = (0, 2, 3) if isinstance(layer, nn.Conv2d) else tuple(range(values.ndim - 1))
        variance, mean = torch.var_mean(values, dim=dims, correction=0)
        return cls(mean, variance)


@dataclass(frozen=True, slots=True)
class Singles:
    """Each layer and each activation rounded by itself, all else in float: what a sensitivity table tries."""

    weights: Mapping[tuple[str, int], tuple[Tensor, Tensor]]
    """(layer, bits) -> rounded weight and corrected bias."""
    activations: Mapping[tuple[str, int], Grid]
    """(key of an operator, bits) -> grid of what it returns."""


def round_singly(
    network: nn.Module,
    places: Places,
    weight_bits: Iterable[int],
    activation_bits: Iterable[int],
    images: Tensor,
    rounding: Rounding = Rounding(),
) -> Singles:
    """Rounds by as many bit-widths as are asked for, in one pass.

    Args:
        network: In eval mode, batch norms folded; it is not changed.
        places: Where its activations are quantized.
        weight_bits: Each from `core.bits.WEIGHT_BITS`.
        activation_bits: Each from `core.bits.ACTIVATION_BITS`.
        images: Shape `(N, C, H, W)`, on the network's device.
        rounding: How.

    Raises:
        DataError: If an activation is not finite.
    """
    trying = _Trying(network, places, tuple(weight_bits), rounding)
    if IMAGES in places.keys:
        trying.see(IMAGES, images)
    with torch.no_grad(), trying.watching():
        network(images)
    grids = {
        (key, bits): each.grid(bits, rounding.reach_at(bits)).to(images.device)
        for key, each in trying.ranges.items()
        for bits in activation_bits
    }
    return Singles(trying.weights, grids)


class _Seeing(OperatorMode):
    """Where activations lie, and the spread of what the layers return, in float."""

    def __init__(self, network: nn.Module, places: Places) -> None:
        super().__init__(network)
        self._keys, self._reads = set(places.keys), places.reads
        self._modules = dict(network.named_modules())
        self.ranges: dict[str, ActivationRange] = {}
        self.spreads: dict[str, _Spread] = {}

    def see(self, key: str, output: Tensor) -> None:
        self.ranges[key] = ActivationRange(key)
        self.ranges[key].see(output)

    def operator(self, key: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        output = function(*args, **kwargs)
        layer = layer_of(key)
        if layer is not None and layer in self._reads:
            self.spreads[layer] = _Spread.of(output, self._modules[layer])
        if key in self._keys:
            self.see(key, output)
        return output


class _Trying(_Seeing):
    """Rounds each layer on what it reads in float, and goes on as if it had not."""

    def __init__(self, network: nn.Module, places: Places, weight_bits: Sequence[int], rounding: Rounding) -> None:
        super().__init__(network, places)
        self._bits, self._rounding = weight_bits, rounding
        self.weights: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}

    def operator(self, key: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        output = super().operator(key, function, args, kwargs)
        name = layer_of(key)
        if name is not None and name in self._reads:
            for bits in self._bits:
                twin = nn.Sequential(shell(self._modules[name]))
                layer = _own_parameters(twin, ["0"])["0"]
                grid = _round(layer, bits, args[0], self._rounding)
                if self._rounding.corrected:
                    _corrected(layer, grid, layer(args[0]), self.spreads[name])
                assert layer.bias is not None  # `_own_parameters`
                self.weights[name, bits] = layer.weight.detach(), layer.bias.detach()
        return output


class _Fitting(OperatorMode):
    """Rounds each layer's weights when its inputs arrive, and goes on with what it returns then."""

    def __init__(
        self,
        network: nn.Module,
        layers: Mapping[str, nn.Conv2d | nn.Linear],
        bits: Mapping[str, BitWidths],
        activations: Mapping[str, Grid],
        spreads: Mapping[str, _Spread],
        rounding: Rounding,
    ) -> None:
        super().__init__(network)
        self._layers, self._bits, self._activations = layers, bits, activations
        self._spreads, self._rounding = spreads, rounding
        self.weights: dict[str, Grid] = {}
        """Layer -> grid of its weights."""

    def operator(self, key: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        name = layer_of(key)
        layer = None if name is None else self._layers.get(name)
        if name is not None and layer is not None:
            self.weights[name] = _round(layer, self._bits[name].weight, args[0], self._rounding)
        output = function(*args, **kwargs)
        if name is not None and layer is not None and self._rounding.corrected:
            self.weights[name], output = _corrected(layer, self.weights[name], output, self._spreads[name])
        return self._activations[key].rounded(output) if key in self._activations else output


def _corrected(layer: nn.Conv2d | nn.Linear, grid: Grid, output: Tensor, wanted: _Spread) -> tuple[Grid, Tensor]:
    """Gives the layer's outputs the mean that is wanted, and the spread where each has its own scale.

    Returns:
        The new grid of the weights, and what the layer returns now.
    """
    now = _Spread.of(output, layer)
    gain = torch.ones_like(now.mean)
    if grid.scale.ndim:
        gain = (wanted.variance / now.variance.clamp_min(_LEAST_VARIANCE)).sqrt().clamp(1 / _MOST_GAIN, _MOST_GAIN)
        gain = torch.where(wanted.variance > _LEAST_VARIANCE, gain, 1.0)
        layer.weight.mul_(_shaped(gain, layer.weight))
        grid = Grid(grid.scale * gain, grid.zero_point, grid.low, grid.high)
    assert layer.bias is not None  # `_own_parameters`
    layer.bias.copy_(wanted.mean - gain * (now.mean - layer.bias))
    trailing = (1, 1) if isinstance(layer, nn.Conv2d) else ()
    mean, gain, before = (each.reshape(-1, *trailing) for each in (wanted.mean, gain, now.mean))
    return grid, (output - before) * gain + mean


def _shaped(values: Tensor, weight: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (weight.ndim - 1))


def _round(layer: nn.Conv2d | nn.Linear, bits: int, inputs: Tensor, rounding: Rounding) -> Grid:
    """Rounds the layer's weights, and returns their grid."""
    weight = layer.weight
    grid = weight_grid(
        weight,
        bits,
        per_channel=rounding.per_channel,
        clip=rounding.clip,
        importance=_importance(layer, inputs) if rounding.clip == "mse" else None,
    )
    if rounding.weights == "nearest" or not _describable(layer):
        weight.copy_(grid.rounded(weight))
        return grid
    covariance = _covariances(layer, inputs)
    groups = len(covariance)
    scale = grid.scale.expand(len(weight)).reshape(groups, -1)
    integers = gptq(weight.reshape(groups, len(weight) // groups, -1), covariance, scale, grid.high)
    weight.copy_((integers * scale[:, :, None]).reshape(weight.shape))
    return grid


def _importance(layer: nn.Conv2d | nn.Linear, inputs: Tensor) -> Tensor:
    """Variance of what each weight multiplies, to go with the weight."""
    variance = _Spread.of(inputs, layer).variance
    if isinstance(layer, nn.Linear):
        return variance
    by_group = variance.reshape(layer.groups, 1, -1).expand(-1, len(layer.weight) // layer.groups, -1)
    return by_group.reshape(len(layer.weight), -1, 1, 1)


def _describable(layer: nn.Conv2d | nn.Linear) -> bool:
    padded_with_zeros = isinstance(layer, nn.Linear) or layer.padding_mode == "zeros"
    return padded_with_zeros and math.prod(layer.weight.shape[1:]) <= MOST_ENTRIES


def _covariances(layer: nn.Conv2d | nn.Linear, inputs: Tensor) -> Tensor:
    """Of what each group's filters read, `(groups, entries, entries)`; biases make up for the means."""
    if isinstance(layer, nn.Conv2d):
        height, width = (max(1, size // stride) for size, stride in zip(inputs.shape[2:], layer.stride, strict=True))
        rows = patches(layer, inputs, grid_step(layer, (height, width), len(inputs)))
    else:
        rows = inputs.reshape(1, -1, inputs.shape[-1])
    centred = rows - rows.mean(dim=1, keepdim=True)
    return (torch.stack([gram(each) for each in centred]) / rows.shape[1]).double()
