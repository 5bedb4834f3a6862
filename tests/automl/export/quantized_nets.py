"""Quantized networks to export: calibrated on random images, their biases on their grids."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automl.compress.biases import round_biases
from automl.compress.calibration import Rounding, quantize
from automl.compress.folding import fold, foldable
from automl.compress.importance import most_important, scores
from automl.compress.places import dense_places, find_places, with_quantizable
from automl.compress.quantized import QuantizedNetwork
from automl.compress.surgery import slim
from automl.core.bits import BitWidths
from automl.core.graph import ModelGraph
from automl.core.policy import CompressionPolicy
from automl.tracing.trace import trace

FAST = Rounding(clip="max")


@dataclass(frozen=True, slots=True)
class Case:
    """A quantized network with its graph and policy."""

    network: QuantizedNetwork
    graph: ModelGraph
    policy: CompressionPolicy


def images(count: int, shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def held_out(shape: tuple[int, int, int]) -> list[Tensor]:
    """Two batches that no grid was made for."""
    return [images(256, shape, seed) for seed in (1, 2)]


def quantized(model: nn.Module, shape: tuple[int, int, int], bits: Callable[[str], BitWidths]) -> QuantizedNetwork:
    """A small network without batch norm, each layer with the bits that are asked for."""
    model.eval()
    seen = images(16, shape)
    places = find_places(model, seen)
    network = quantize(model, places, {name: bits(name) for name in places.reads}, seen, FAST)
    round_biases(network, places.reads)
    return network


def slimmed(
    model: nn.Module, shape: tuple[int, int, int], bits: BitWidths, choose: Callable[[ModelGraph], CompressionPolicy]
) -> Case:
    """A network of the policy that `choose` gives, all its layers with the same bits."""
    traced = with_quantizable(model, trace(model, shape))
    seen = images(8, shape)
    norms = foldable(model, traced, seen)
    places = dense_places(model, traced, norms, seen)
    widths = choose(traced.graph)
    kept = most_important(traced, widths, scores(model, traced, "l1"))
    network = slim(model, traced.channel_map, kept, own_memory=True).eval()
    fold(network, norms)
    assert traced.graph.quantizable is not None
    policy = CompressionPolicy(widths.channels, dict.fromkeys(traced.graph.quantizable.layers, bits))
    result = quantize(network, places, policy.bits, seen, FAST)
    round_biases(result, places.reads)
    return Case(result, traced.graph, policy)
