"""Tries the surgery before anything relies on it.

Tracing cannot see sizes that a forward pass has written into its code (`x.view(-1, 512)`). So the smallest network is
built and run once; groups without which it fails, or computes something else, are kept whole and named. The network
without its droppable branches is tried in the same way.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from automl.compress.masking import masked_forward, silenced_forward
from automl.compress.surgery import KeptChannels, slim
from automl.core.graph import ModelGraph
from automl.core.policy import with_dead_groups
from automl.tracing.channel_map import TracedModel
from automl.tracing.trace import trace

TOLERANCE = 1e-3
"""Largest difference from the masked network, relative to its largest logit."""
_LOG = logging.getLogger(__name__)


def trace_prunable(model: nn.Module, input_shape: tuple[int, ...]) -> TracedModel:
    """Traces `model`, keeps whole every group whose pruning does not work, and every branch whose drop does not.

    Raises:
        TraceError: If the forward pass cannot be followed.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    images = torch.randn(2, *input_shape, generator=torch.Generator().manual_seed(1)).to(device)
    traced = trace(model, input_shape)
    groups = [group.name for group in traced.graph.prunable]
    keep_whole = _refused(groups, lambda tried: _prune_failure(model, traced, tried, images))
    if keep_whole:
        _LOG.info("kept whole: %s", keep_whole)
        traced = trace(model, input_shape, keep_whole)
    return _with_tried_drops(model, traced, images)


def _with_tried_drops(model: nn.Module, traced: TracedModel, images: Tensor) -> TracedModel:
    branches = [group.name for group in traced.graph.prunable if group.droppable]
    refused = _refused(branches, lambda tried: _drop_failure(model, traced, tried, images))
    if not refused:
        return traced
    _LOG.info("cannot be dropped: %s", refused)
    groups = [replace(g, droppable=False, drops=()) if g.name in refused else g for g in traced.graph.groups]
    return replace(traced, graph=replace(traced.graph, groups=tuple(groups)))


def _refused(groups: Sequence[str], failure: Callable[[Sequence[str]], str | None]) -> dict[str, str]:
    """The groups that fail, with the reason; all are tried together first, and one after the other only if need be."""
    if not groups or failure(groups) is None:
        return {}
    refused: dict[str, str] = {}
    accepted: list[str] = []
    for group in groups:
        reason = failure([*accepted, group])
        if reason is None:
            accepted.append(group)
        else:
            refused[group] = reason
    return refused


def _prune_failure(model: nn.Module, traced: TracedModel, groups: Sequence[str], images: Tensor) -> str | None:
    """Why the network with one channel in two of `groups` is wrong; None where it is right."""
    channels = traced.channel_map.channels
    kept: KeptChannels = {group: np.arange(0, channels[group], 2, dtype=np.int64) for group in groups}
    smaller = slim(model, traced.channel_map, kept)
    return _difference(model, smaller, lambda: masked_forward(model, traced, kept, images), images)


def _drop_failure(model: nn.Module, traced: TracedModel, groups: Sequence[str], images: Tensor) -> str | None:
    """Why the network without the branches of `groups` is wrong; None where it is right.

    It is held against the network that keeps one channel of each branch and does not read it: as pruning works by
    now, that equals the masked dense network, and it takes a tenth of the time.
    """
    gone = with_dead_groups(traced.graph, dict.fromkeys(groups, 0))
    dropped = slim(model, traced.channel_map, {group: np.arange(0) for group in gone})
    narrow = slim(model, traced.channel_map, {group: np.arange(1) for group in gone}).eval()
    hollow = _empty_tensors(dropped) - _empty_tensors(model)
    if hollow:
        return f"nothing stands in for the tensor `{min(hollow)}`"
    ends = _last_layers(traced.graph, gone)
    return _difference(model, dropped, lambda: silenced_forward(narrow, ends, images), images)


def _last_layers(graph: ModelGraph, gone: dict[str, int]) -> list[str]:
    """The layers that give a constant once the groups in `gone` keep nothing."""
    kept = {group.name: gone.get(group.name, group.channels) for group in graph.groups}
    return [layer.name for layer in graph.layers if layer.outputs.size(kept) and not layer.inputs.size(kept)]


def _empty_tensors(model: nn.Module) -> set[str]:
    tensors = [*model.named_parameters(), *model.named_buffers()]
    return {name for name, tensor in tensors if tensor.numel() == 0}


def _difference(model: nn.Module, smaller: nn.Module, reference: Callable[[], Tensor], images: Tensor) -> str | None:
    """How `smaller` differs from `reference()`, which may run `model`; None where they agree."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            expected, actual = reference(), smaller.eval()(images)
    except Exception as error:
        first_line = str(error).splitlines()[0] if str(error) else ""
        return f"the smaller network does not run ({type(error).__name__}: {first_line})"
    finally:
        model.train(training)
    scale = float(expected.abs().max()) or 1.0
    difference = float((actual - expected).abs().max()) / scale
    if difference < TOLERANCE:
        return None
    return f"the smaller network computes something else (relative difference {difference:.1e})"
