"""What the time of a network is made of: sums over its layers that a runtime could be slow or fast at.

Each feature is a quadratic form of views of the widths, so that any weighted sum of them is a cost that the solver and
the projection take apart exactly, as they do MACs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.core.graph import Extent, Layer, ModelGraph
from automl.core.quadratic import QuadraticForm
from automl.core.view import WIDTH, View

BLOCK = 16
"""Channels that one vector instruction of ONNX Runtime's kernels computes; less takes as long."""
PADDED, ODD, UNALIGNED, ALIVE = View("padded", BLOCK), View("odd", BLOCK), View("odd", 4), View("alive")
VIEWS = (WIDTH, PADDED, ODD, UNALIGNED, ALIVE)
ONE = Extent(1)
_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Summand:
    """`scale` times a view of one dimension, times a view of another."""

    feature: str
    scale: float
    first: Extent
    first_view: View
    second: Extent = ONE
    second_view: View = WIDTH


def latency_features(graph: ModelGraph) -> Mapping[str, QuadraticForm]:
    """Feature -> its form over `VIEWS`, in millions of multiply-adds or values; `layers` counts layers.

    Args:
        graph: The network; the groups of the forms are `graph.prunable`.
    """
    groups = [group.name for group in graph.prunable]
    found: dict[str, list[Summand]] = {}
    for summand in (*_of_layers(graph), *_of_sums(graph)):
        found.setdefault(summand.feature, []).append(summand)
    return {name: _form(summands, groups) for name, summands in found.items()}


def _of_layers(graph: ModelGraph) -> Iterator[Summand]:
    for place, layer in enumerate(graph.layers):
        yield Summand("layers", 1.0, layer.outputs, ALIVE)
        if place == 0:
            yield Summand("stem", _macs(layer), layer.outputs, PADDED, layer.filter_inputs)
        elif layer.kind == "depthwise":
            yield from _of_depthwise(layer)
        elif layer.positions == 1:
            yield Summand("matrix", _macs(layer), layer.outputs, WIDTH, layer.filter_inputs)
        else:
            yield from _of_convolution(layer, "pointwise" if layer.kernel == (1, 1) else "spatial")


def _of_depthwise(layer: Layer) -> Iterator[Summand]:
    yield Summand("depthwise", _macs(layer), layer.outputs, WIDTH)
    yield Summand("depthwise/padded", _macs(layer), layer.outputs, PADDED)
    yield Summand("depthwise/odd", _macs(layer), layer.outputs, ODD)
    yield Summand("depthwise/unaligned", _macs(layer), layer.outputs, UNALIGNED)
    yield Summand("depthwise/outputs", _outputs(layer), layer.outputs, WIDTH)


def _of_convolution(layer: Layer, kind: str) -> Iterator[Summand]:
    yield Summand(kind, _macs(layer), layer.outputs, WIDTH, layer.filter_inputs)
    yield Summand(f"{kind}/padded", _macs(layer), layer.outputs, PADDED, layer.filter_inputs, PADDED)
    yield Summand(f"{kind}/unaligned", _macs(layer), layer.outputs, UNALIGNED, layer.filter_inputs)
    yield Summand(f"{kind}/outputs", _outputs(layer), layer.outputs, WIDTH)
    yield Summand(f"{kind}/inputs", _outputs(layer) * layer.stride[0] * layer.stride[1], layer.inputs, WIDTH)
    yield Summand(f"{kind}/weights", _macs(layer) / layer.positions, layer.outputs, WIDTH, layer.filter_inputs)


def _of_sums(graph: ModelGraph) -> Iterator[Summand]:
    """Channels that several layers make are added up."""
    layers = {layer.name: layer for layer in graph.layers}
    for group in graph.groups:
        made = [layers[name] for name in group.producers if layers[name].kind != "depthwise"]
        for layer in made[1:]:
            yield Summand("sum", _outputs(layer), layer.outputs, WIDTH)


def _macs(layer: Layer) -> float:
    return layer.positions * layer.kernel[0] * layer.kernel[1] / _MILLION


def _outputs(layer: Layer) -> float:
    return layer.positions / _MILLION


def _form(summands: list[Summand], groups: list[str]) -> QuadraticForm:
    scale = np.array([each.scale for each in summands])
    first = _seen([(each.first, each.first_view) for each in summands], groups)
    second = _seen([(each.second, each.second_view) for each in summands], groups)
    crossed = (first * scale) @ second.T  # [1 + groups * views, 1 + groups * views]
    pairs = np.triu(crossed) + np.triu(crossed.T, 1)
    return QuadraticForm(float(pairs[0, 0]), pairs[0, 1:], pairs[1:, 1:], VIEWS)


def _seen(dimensions: list[tuple[Extent, View]], groups: list[str]) -> NDArray[np.float64]:
    """Shape `(1 + groups * views, dimensions)`: what no policy changes, then the entries per unit of each view.

    A concatenation is seen part by part.
    """
    row = {name: 1 + index * len(VIEWS) for index, name in enumerate(groups)}
    matrix = np.zeros((1 + len(groups) * len(VIEWS), len(dimensions)))
    for column, (extent, view) in enumerate(dimensions):
        matrix[0, column] = view(np.array([extent.fixed]))[0]
        for name, entries in extent.terms:
            matrix[row[name] + VIEWS.index(view), column] += entries
    return matrix
