"""A network that computes as its quantized export will: weights and activations are rounded to their grids.

The forward method is the user's own. A mode places the quantizers behind the operators while it runs, so that nothing
is rewritten, and training reaches every weight through the rounding (straight-through gradients).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from automl.compress.grid import Grid
from automl.compress.operators import OperatorMode, layer_of
from automl.compress.places import IMAGES
from automl.core.bits import BitWidths


class Quantizer(nn.Module):
    """Rounds to a grid that moves and is stored with the network."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self, grid: Grid) -> None:
        """Takes the grid."""
        super().__init__()
        self.low, self.high = grid.low, grid.high
        self.register_buffer("scale", grid.scale)
        self.register_buffer("zero_point", grid.zero_point)

    @property
    def grid(self) -> Grid:
        """The grid."""
        return Grid(self.scale, self.zero_point, self.low, self.high)

    def forward(self, values: Tensor) -> Tensor:
        """Each value's nearest level."""
        return self.grid.rounded(values)


class QuantizedNetwork(nn.Module):
    """A network with its quantizers; answers, trains, and is stored like any other."""

    def __init__(
        self,
        network: nn.Module,
        bits: Mapping[str, BitWidths],
        weights: Mapping[str, Grid],
        activations: Mapping[str, Grid],
        silent: Sequence[str] = (),
    ) -> None:
        """Wraps `network`, whose batch norms are folded.

        Args:
            network: Its parameters stay its own.
            bits: Layer -> bit-widths, as the policy says.
            weights: Layer -> grid of its weights.
            activations: Key of an operator -> grid of what it returns.
            silent: Keys of those that returned 0 throughout when their grids were made.
        """
        super().__init__()
        self.network = network
        self.bits = dict(bits)
        self.silent = tuple(silent)
        self._weight_quantizers = _modules(weights)
        self._activation_quantizers = _modules(activations)
        self.rounds_weights = False
        """Whether the weights have left their grids, as they do in training."""

    def forward(self, images: Tensor) -> Tensor:
        """Logits for images `(N, C, H, W)`."""
        activations = self._activation_quantizers
        if IMAGES in activations:
            images = activations[IMAGES](images)
        with _Rounding(self, activations).watching():
            logits: Tensor = self.network(images)
            return logits

    @property
    def weight_grids(self) -> dict[str, Grid]:
        """Layer -> grid of its weights."""
        return {name.replace("/", "."): each.grid for name, each in _items(self._weight_quantizers)}

    @property
    def activation_grids(self) -> dict[str, Grid]:
        """Key -> grid."""
        return {name: each.grid for name, each in _items(self._activation_quantizers)}

    def rounds(self, layer: str) -> bool:
        """Whether the layer computes with other weights than its own."""
        return self.rounds_weights and layer.replace(".", "/") in self._weight_quantizers

    def rounded_weight(self, layer: str, weight: Tensor) -> Tensor:
        """The weight that the layer computes with."""
        if not self.rounds(layer):
            return weight
        rounded: Tensor = self._weight_quantizers[layer.replace(".", "/")](weight)
        return rounded

    def bake(self) -> None:
        """Puts the weights on their grids for good, in eval mode."""
        self.eval()
        self.rounds_weights = False
        modules = dict(self.network.named_modules())
        with torch.no_grad():
            for layer, grid in self.weight_grids.items():
                weight = modules[layer].get_parameter("weight")
                weight.copy_(grid.rounded(weight))


class _Rounding(OperatorMode):
    """Rounds what the layers weigh and what the operators return."""

    def __init__(self, quantized: QuantizedNetwork, activations: nn.ModuleDict) -> None:
        super().__init__(quantized.network)
        self._quantized, self._activations = quantized, activations

    def operator(self, key: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        layer = layer_of(key)
        if layer is not None and self._quantized.rounds(layer):
            args = (args[0], self._quantized.rounded_weight(layer, args[1]), *args[2:])
        output = function(*args, **kwargs)
        return self._activations[key](output) if key in self._activations else output


def _modules(grids: Mapping[str, Grid]) -> nn.ModuleDict:
    return nn.ModuleDict({name.replace(".", "/"): Quantizer(grid) for name, grid in grids.items()})


def _items(modules: nn.ModuleDict) -> list[tuple[str, Quantizer]]:
    return [(name, each) for name, each in modules.items() if isinstance(each, Quantizer)]
