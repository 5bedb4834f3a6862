"""A policy's network as it is built, whose weights are still to come: from a file, or from another process."""

import numpy as np
import torch
from torch import nn

from automl.compress.calibration import quantize
from automl.compress.folding import fold, foldable
from automl.compress.places import dense_places
from automl.compress.quantized import QuantizedNetwork
from automl.compress.surgery import slim
from automl.core.policy import CompressionPolicy
from automl.tracing.channel_map import TracedModel


def rebuilt(model: nn.Module, traced: TracedModel, policy: CompressionPolicy, *, rounded: bool) -> nn.Module:
    """The network of `policy`, with weights and grids that mean nothing, in eval mode.

    Args:
        model: The dense network, whatever its weights are; it is put into eval mode.
        traced: From tracing it.
        policy: Says every group.
        rounded: Whether it has its bit-widths, which the policy must have then.
    """
    # Only the counts matter here: the weights bring their own channels.
    first = {group: np.arange(count) for group, count in policy.channels.items()}
    network = slim(model, traced.channel_map, first, own_memory=True).eval()
    return _at_any_grids(model, traced, network, policy) if rounded else network


def _at_any_grids(
    model: nn.Module, traced: TracedModel, network: nn.Module, policy: CompressionPolicy
) -> QuantizedNetwork:
    model.eval()
    noise = torch.randn(2, *traced.graph.input_shape, generator=torch.Generator().manual_seed(0))
    noise = noise.to(next(model.parameters()).device)
    norms = foldable(model, traced, noise)
    fold(network, norms)
    return quantize(network, dense_places(model, traced, norms, noise), policy.bits, noise)
