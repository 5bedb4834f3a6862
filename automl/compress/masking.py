"""The masked network: the dense network with the removed channels' readings set to zero; what surgery must equal."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from automl.compress.surgery import KeptChannels, kept_entries
from automl.tracing.channel_map import TracedModel


def masked_weights(model: nn.Module, traced: TracedModel, kept: KeptChannels) -> dict[str, Tensor]:
    """Weights of the layers that read removed channels, zero where they read them; name -> weight."""
    parameters = dict(model.named_parameters())
    entries = kept_entries(traced.channel_map, kept)
    masked: dict[str, Tensor] = {}
    for layer in traced.graph.layers:
        name = f"{layer.name}.weight"
        indices = entries.get((name, 1))
        if indices is not None:
            weight = parameters[name].detach()
            columns = torch.from_numpy(indices).to(weight.device)
            masked[name] = torch.zeros_like(weight).index_copy_(1, columns, weight.index_select(1, columns))
    return masked


def masked_forward(model: nn.Module, traced: TracedModel, kept: KeptChannels, images: Tensor) -> Tensor:
    """Logits of the masked network, of shape `(batch, classes)`; `model` is not changed."""
    logits: Tensor = functional_call(model, masked_weights(model, traced, kept), (images,))
    return logits


def silenced_forward(model: nn.Module, layers: Iterable[str], images: Tensor) -> Tensor:
    """Logits of `model` where the named layers read nothing: what dropping the branches they end must equal."""
    weights = {f"{name}.weight": torch.zeros_like(model.get_parameter(f"{name}.weight")) for name in layers}
    logits: Tensor = functional_call(model, weights, (images,))
    return logits
