"""Networks to be timed: graphs of any policy of one network, and random policies of its space."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import torch
from torch import nn

from automl.compress.calibration import quantize
from automl.compress.folding import fold, foldable
from automl.compress.places import dense_places
from automl.compress.surgery import slim
from automl.core.bits import BitWidths
from automl.core.graph import ModelGraph
from automl.core.knob import Knob
from automl.core.policy import dense_policy
from automl.export.onnx_file import exported, inference_copy
from automl.export.quantized_onnx import quantized_proto
from automl.runtime.target import Precision
from automl.runtime.template import GraphTemplate, Sample
from automl.tracing.channel_map import TracedModel

PROBES = 32
"""Random policies that are timed beside the dense network."""
_MOST_SAMPLES = 4
_NARROWEST, _SPREAD = 0.2, 0.4
"""Least mean keep ratio of a random policy, and by how much its groups stray from the mean."""
_INT8 = BitWidths(8, 8)


def graph_template(model: nn.Module, traced: TracedModel, precision: Precision) -> GraphTemplate:
    """Exports the network whole and at random widths, to learn what its sizes depend on.

    Args:
        model: In eval mode; it is not changed. Its weights do not matter.
        traced: What tracing knows of it.
        precision: Of the graphs.

    Raises:
        ExportError: If the network cannot be exported.
    """
    graph = traced.graph
    whole = dense_policy(graph).channels
    choices = _telling_widths(graph)
    samples = [Sample(each, exported_graph(model, traced, each, precision)) for each in (whole, *choices)]
    return GraphTemplate(graph, samples)


def random_policies(graph: ModelGraph, knobs: Sequence[Knob], count: int, seed: int) -> list[dict[str, int]]:
    """Policies that drop no branch, from narrow to nearly whole.

    Args:
        graph: The network.
        knobs: Its choices of widths.
        count: How many.
        seed: Of the random numbers.
    """
    generator = np.random.default_rng(seed)
    choices = {knob.target: np.array([c for c in knob.choices if c > 0]) for knob in knobs if knob.kind == "channels"}
    policies = []
    # Even steps from narrow to wide: the fit must not reach beyond what it has seen.
    for mean in np.linspace(_NARROWEST, 1.0, count):
        ratios = mean * generator.uniform(1 - _SPREAD, 1 + _SPREAD, len(graph.prunable))
        wanted = {g.name: g.channels * min(ratio, 1.0) for g, ratio in zip(graph.prunable, ratios, strict=True)}
        policies.append({name: int(c[np.abs(c - wanted[name]).argmin()]) for name, c in choices.items() if len(c)})
    return policies


def _telling_widths(graph: ModelGraph) -> list[dict[str, int]]:
    """Widths at which no two groups have the same sizes, as far as few samples can have that."""
    generator = np.random.default_rng(0)
    samples: list[dict[str, int]] = []
    while len(samples) < _MOST_SAMPLES:
        samples.append({g.name: int(generator.integers(max(1, g.channels // 3), g.channels)) for g in graph.prunable})
        seen = [(g.channels, *(sample[g.name] for sample in samples)) for g in graph.prunable]
        if len(set(seen)) == len(seen):
            break
    return samples


def exported_graph(
    model: nn.Module, traced: TracedModel, channels: Mapping[str, int], precision: Precision
) -> onnx.ModelProto:
    """The graph that a policy's network is exported to.

    Args:
        model: In eval mode; it is not changed. Its weights do not matter.
        traced: What tracing knows of it.
        channels: Channel group -> channels kept.
        precision: Of the graph.

    Raises:
        ExportError: If the network cannot be exported.
    """
    shape = traced.graph.input_shape
    input_shape = (shape[0], shape[1], shape[2])
    device = next(model.parameters()).device
    noise = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0)).to(device)
    norms = foldable(model, traced, noise)
    network = slim(model, traced.channel_map, {name: np.arange(kept) for name, kept in channels.items()}).eval()
    fold(network, norms)
    if precision == "fp32":
        return exported(inference_copy(network, input_shape), input_shape)
    places = dense_places(model, traced, norms, noise)
    return quantized_proto(quantize(network, places, dict.fromkeys(places.reads, _INT8), noise), input_shape)
