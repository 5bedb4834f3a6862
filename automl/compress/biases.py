"""Puts biases on the grid that integer kernels add them in."""

from collections.abc import Mapping

import torch

from automl.compress.quantized import QuantizedNetwork


def round_biases(quantized: QuantizedNetwork, reads: Mapping[str, str]) -> None:
    """Rounds every bias to a multiple of what its layer reads times what it weighs, as an exported file has it.

    One step is a thousandth of what a quantizer can tell apart, and yet it moves a thousandth of the values to the next
    level; over dozens of layers of 4 bits, that changes answers.

    Args:
        quantized: Its biases are changed; what comes before is its last training.
        reads: Layer -> key of the operator whose output it reads, from `Places`.
    """
    weights, activations = quantized.weight_grids, quantized.activation_grids
    modules = dict(quantized.network.named_modules())
    for layer, grid in weights.items():
        bias = modules[layer]._parameters.get("bias")
        if bias is not None and reads[layer] in activations:
            unit = grid.scale * activations[reads[layer]].scale
            with torch.no_grad():
                bias.copy_((bias / unit).round_().mul_(unit))
