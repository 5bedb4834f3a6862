"""Marks what is quantized in an exported graph, by an operator that means nothing else.

The exporter would write some grids only, and trace each of them for longer than the layers in between.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from automl.compress.operators import OperatorMode, layer_of
from automl.compress.places import IMAGES
from automl.compress.quantized import QuantizedNetwork

DOMAIN = "automl"
WEIGHT, ACTIVATION = "Weight", "Activation"
KEY = "key"
"""The marker's attribute: a layer's path for weights, an operator's key for activations."""


class Marked(nn.Module):
    """A quantized network that computes in float, with a marker wherever a grid belongs."""

    def __init__(self, quantized: QuantizedNetwork) -> None:
        """Shares the network; its parameters are named `network.<path>`."""
        super().__init__()
        self.network = quantized.network
        self._layers = frozenset(quantized.weight_grids)
        self._keys = frozenset(quantized.activation_grids)

    def forward(self, images: Tensor) -> Tensor:
        """Logits for images `(N, C, H, W)`."""
        if IMAGES in self._keys:
            images = _mark(images, ACTIVATION, IMAGES)
        with _Marking(self.network, self._layers, self._keys).watching():
            logits: Tensor = self.network(images)
            return logits


class _Marking(OperatorMode):
    """Marks the weights of layers and what operators return."""

    def __init__(self, network: nn.Module, layers: frozenset[str], keys: frozenset[str]) -> None:
        super().__init__(network)
        self._layers, self._keys = layers, keys

    def operator(self, key: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        layer = layer_of(key)
        if layer is not None and layer in self._layers:
            args = (args[0], _mark(args[1], WEIGHT, layer), *args[2:])
        output = function(*args, **kwargs)
        return _mark(output, ACTIVATION, key) if key in self._keys else output


def _mark(values: Tensor, kind: str, key: str) -> Tensor:
    operator = f"{DOMAIN}::{kind}"
    return torch.onnx.ops.symbolic(operator, (values,), {KEY: key}, dtype=values.dtype, shape=values.shape, version=1)
