"""What the time of a network is made of: sums over its layers that a runtime could be slow or fast at.

Each feature is a quadratic form of views of the widths, so that any weighted sum of them is a cost that the solver and
the projection take apart exactly, as they do MACs.
"""

from collections.abc import Iterable, Iterator, Mapping

from automl.core.graph import Layer, ModelGraph
from automl.core.quadratic import QuadraticForm
from automl.core.view import WIDTH, View
from automl.costs.product import Product, form_of

BLOCK = 16
"""Channels that one vector instruction of ONNX Runtime's kernels computes; less takes as long."""
PADDED, ODD, UNALIGNED, ALIVE = View("padded", BLOCK), View("odd", BLOCK), View("odd", 4), View("alive")
VIEWS = (WIDTH, PADDED, ODD, UNALIGNED, ALIVE)
_MILLION = 1e6


Summand = tuple[str, Product]
"""A feature, and a part of it."""


def latency_features(graph: ModelGraph) -> Mapping[str, QuadraticForm]:
    """Feature -> its form over `VIEWS`, in millions of multiply-adds or values; `layers` counts layers.

    Args:
        graph: The network; the groups of the forms are `graph.prunable`.
    """
    layers = (summand for layer in graph.layers for summand in _of_layer(graph, layer))
    return _forms(graph, (*layers, *_of_sums(graph)))


def layer_features(graph: ModelGraph, layer: Layer) -> Mapping[str, QuadraticForm]:
    """The part of one layer in `latency_features`, where all layers together make everything but `sum`.

    Args:
        graph: The network; the groups of the forms are `graph.prunable`.
        layer: One of its layers.
    """
    return _forms(graph, _of_layer(graph, layer))


def _forms(graph: ModelGraph, summands: Iterable[Summand]) -> Mapping[str, QuadraticForm]:
    groups = [group.name for group in graph.prunable]
    found: dict[str, list[Product]] = {}
    for feature, product in summands:
        found.setdefault(feature, []).append(product)
    return {feature: form_of(products, groups, VIEWS) for feature, products in found.items()}


def _of_layer(graph: ModelGraph, layer: Layer) -> Iterator[Summand]:
    yield "layers", Product(1.0, layer.outputs, first_view=ALIVE)
    if layer is graph.layers[0]:
        yield "stem", Product(_macs(layer), layer.outputs, layer.filter_inputs, first_view=PADDED)
    elif layer.kind == "depthwise":
        yield from _of_depthwise(layer)
    elif layer.positions == 1:
        yield "matrix", Product(_macs(layer), layer.outputs, layer.filter_inputs)
    else:
        yield from _of_convolution(layer, "pointwise" if layer.kernel == (1, 1) else "spatial")


def _of_depthwise(layer: Layer) -> Iterator[Summand]:
    yield "depthwise", Product(_macs(layer), layer.outputs)
    yield "depthwise/padded", Product(_macs(layer), layer.outputs, first_view=PADDED)
    yield "depthwise/odd", Product(_macs(layer), layer.outputs, first_view=ODD)
    yield "depthwise/unaligned", Product(_macs(layer), layer.outputs, first_view=UNALIGNED)
    yield "depthwise/outputs", Product(_outputs(layer), layer.outputs)


def _of_convolution(layer: Layer, kind: str) -> Iterator[Summand]:
    yield kind, Product(_macs(layer), layer.outputs, layer.filter_inputs)
    yield (
        f"{kind}/padded",
        Product(_macs(layer), layer.outputs, layer.filter_inputs, first_view=PADDED, second_view=PADDED),
    )
    yield f"{kind}/padded outputs", Product(_macs(layer), layer.outputs, layer.filter_inputs, first_view=PADDED)
    yield f"{kind}/odd", Product(_macs(layer), layer.outputs, layer.filter_inputs, first_view=ODD)
    yield f"{kind}/unaligned", Product(_macs(layer), layer.outputs, layer.filter_inputs, first_view=UNALIGNED)
    yield f"{kind}/outputs", Product(_outputs(layer), layer.outputs)
    yield f"{kind}/inputs", Product(_inputs(layer), layer.inputs)
    # What is no whole number of blocks is laid out anew on the way in.
    yield f"{kind}/odd inputs", Product(_inputs(layer), layer.inputs, first_view=ODD)
    yield f"{kind}/weights", Product(_macs(layer) / layer.positions, layer.outputs, layer.filter_inputs)


def _of_sums(graph: ModelGraph) -> Iterator[Summand]:
    """Channels that several layers make are added up."""
    layers = {layer.name: layer for layer in graph.layers}
    for group in graph.groups:
        made = [layers[name] for name in group.producers if layers[name].kind != "depthwise"]
        for layer in made[1:]:
            yield "sum", Product(_outputs(layer), layer.outputs)


def _macs(layer: Layer) -> float:
    return layer.positions * layer.kernel[0] * layer.kernel[1] / _MILLION


def _outputs(layer: Layer) -> float:
    return layer.positions / _MILLION


def _inputs(layer: Layer) -> float:
    return _outputs(layer) * layer.stride[0] * layer.stride[1]
