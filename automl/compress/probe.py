"""Tries the surgery before anything relies on it.

Tracing cannot see sizes that a forward pass has written into its code (`x.view(-1, 512)`). So the smallest network is
built and run once; groups without which it fails, or computes something else, are kept whole and named.
"""

import logging
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from automl.compress.masking import masked_forward
from automl.compress.surgery import KeptChannels, slim
from automl.tracing.channel_map import TracedModel
from automl.tracing.trace import trace

TOLERANCE = 1e-3
"""Largest difference from the masked network, relative to its largest logit."""
_LOG = logging.getLogger(__name__)


def trace_prunable(model: nn.Module, input_shape: tuple[int, ...]) -> TracedModel:
    """Traces `model` and keeps whole every group whose pruning does not work.

    Raises:
        TraceError: If the forward pass cannot be followed.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    images = torch.randn(2, *input_shape, generator=torch.Generator().manual_seed(1)).to(device)
    traced = trace(model, input_shape)
    groups = [group.name for group in traced.graph.prunable]
    if _failure(model, traced, groups, images) is None:
        return traced
    keep_whole: dict[str, str] = {}
    pruned: list[str] = []
    for group in groups:
        failure = _failure(model, traced, [*pruned, group], images)
        if failure is None:
            pruned.append(group)
        else:
            keep_whole[group] = failure
            _LOG.info("kept %s whole: %s", group, failure)
    return trace(model, input_shape, keep_whole)


def _failure(model: nn.Module, traced: TracedModel, groups: Iterable[str], images: Tensor) -> str | None:
    """Why the network with one channel in two of `groups` is wrong; None where it is right."""
    channels = traced.channel_map.channels
    kept: KeptChannels = {group: np.arange(0, channels[group], 2, dtype=np.int64) for group in groups}
    smaller = slim(model, traced.channel_map, kept)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            expected = masked_forward(model, traced, kept, images)
            actual = smaller.eval()(images)
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
