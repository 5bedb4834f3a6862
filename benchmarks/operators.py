"""Layers timed by themselves, as tables of operators are made."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from onnx.utils import Extractor

from automl.export.integer_graph import LAYERS

Timed = Callable[[Sequence[onnx.ModelProto]], NDArray[np.float64]]
"""Networks -> milliseconds."""


def layers_alone(networks: Sequence[onnx.ModelProto], timed: Timed) -> NDArray[np.float64]:
    """For each network but the first, the sum of its layers' times, over the first one's time as a whole.

    Args:
        networks: The dense one first.
        timed: Times networks; the first is the anchor.
    """
    parts: dict[bytes, int] = {}
    models = [networks[0]]
    members: list[list[int]] = []
    for network in networks[1:]:
        members.append([])
        for layer in _layers(network):
            key = layer.SerializeToString()
            if key not in parts:
                parts[key] = len(models)
                models.append(layer)
            members[-1].append(parts[key])
    latency_ms = timed(models)
    return np.array([float(latency_ms[own].sum() / latency_ms[0]) for own in members])


def _layers(network: onnx.ModelProto) -> Iterator[onnx.ModelProto]:
    """Each convolution or product alone, with quantizers in front of it and behind it where it has them."""
    inferred = onnx.shape_inference.infer_shapes(network)
    extractor = Extractor(inferred)
    makers = {name: node for node in inferred.graph.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in inferred.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in inferred.graph.node:
        if node.op_type in LAYERS:
            source, target = node.input[0], node.output[0]
            for kind in ("DequantizeLinear", "QuantizeLinear"):  # back to the float in front of them
                maker = makers.get(source)
                source = maker.input[0] if maker is not None and maker.op_type == kind else source
            for kind in ("QuantizeLinear", "DequantizeLinear"):
                after = [reader for reader in readers.get(target, []) if reader.op_type == kind]
                target = after[0].output[0] if after else target
            yield _nameless(extractor.extract_model([source], [target]))


def _nameless(layer: onnx.ModelProto) -> onnx.ModelProto:
    """The same with names that say nothing, so that equal layers are equal."""
    graph = layer.graph
    del graph.value_info[:]
    names: dict[str, str] = {"": ""}
    for node in graph.node:
        node.name = ""
        for ends in (node.input, node.output):
            for place, name in enumerate(ends):
                ends[place] = names.setdefault(name, str(len(names)))
    for tensor in graph.initializer:
        tensor.name = names.setdefault(tensor.name, str(len(names)))
    for value in (*graph.input, *graph.output):
        value.name = names.setdefault(value.name, str(len(names)))
    return helper.make_model(
        helper.make_graph(graph.node, "layer", graph.input, graph.output, graph.initializer),
        opset_imports=layer.opset_import,
        ir_version=layer.ir_version,
    )
