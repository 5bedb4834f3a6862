"""What an ONNX file costs, counted from its own graph and nothing else."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from automl.core.errors import InputError
from automl.export.file_bits import FileBits
from automl.export.session import OnnxClassifier, open_session

_Shapes = Mapping[str, tuple[int, ...]]
_LEARNED: Mapping[str, tuple[int, ...]] = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (1, 2),
    "MatMul": (0, 1),
    "BatchNormalization": (1, 2),  # the other two are running statistics
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "PRelu": (1,),
    "Add": (0, 1),
    "Mul": (0, 1),
    "Expand": (0,),  # a dropped branch that had a bias
}
"""Inputs of each operator that are learned where they are constants of the file."""
_SCALING = {"Add", "Mul", "Expand"}
"""Here a single value is a constant of the formula, such as the 3 and the 1/6 of a hard swish."""
_VALUES = {onnx.TensorProto.FLOAT, onnx.TensorProto.INT4, onnx.TensorProto.INT8, onnx.TensorProto.INT32}
"""Types of learned values: float, quantized weights, their biases."""


@dataclass(frozen=True, slots=True)
class OnnxCost:
    """What the file costs."""

    macs: int
    """Multiply-adds of convolutions and of products with learned matrices, for one image."""
    params: int
    """Learned values: weights and biases, and the scales and shifts that were not folded into them."""
    file_bytes: int
    """Size of the file."""
    bops: int
    """Sum over layers of MACs x weight bits x activation bits; 32 bits for float."""


def recount(path: Path) -> OnnxCost:
    """Counts the file at `path`: weights in its graph, sizes of maps in a run of it on one image.

    What the exporter left out is not counted: biases that are zero throughout, and all but one of equal constants.
    Integer weights count as many bits as the largest of the layer needs, however they are stored.

    Raises:
        InputError: If it is no ONNX classifier.
    """
    model = load(path)
    bits = FileBits(model.graph)
    learned = {tensor.name: math.prod(tensor.dims) for tensor in _learned(model.graph, bits)}
    shapes: dict[str, tuple[int, ...]] = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    shapes |= _map_shapes(path, model, {name for node in bits.layers for name in (*node.input[:2], node.output[0])})
    macs = [_MACS[node.op_type](node, shapes) for node in bits.layers]
    widths = [bits.of(node) for node in bits.layers]
    bops = sum(count * own.weight * own.activation for count, own in zip(macs, widths, strict=True))
    return OnnxCost(sum(macs), sum(learned.values()), path.stat().st_size, bops)


def load(path: Path) -> onnx.ModelProto:
    """The file's graph; raises `InputError` where it cannot be read."""
    try:
        return onnx.load(path)
    except (OSError, DecodeError, ValueError) as error:
        raise InputError(f"An ONNX file must be readable, but {path} is not: {error}. Export it again.") from error


def _map_shapes(path: Path, model: onnx.ModelProto, names: set[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of the maps `names`, for one image.

    From a run, because shape inference loses itself in graphs that compute a shape, such as a strided view's.
    """
    image = np.zeros((1, *OnnxClassifier(path).input_shape), np.float32)
    graph = model.graph
    known = {value.name for value in (*graph.input, *graph.output, *graph.initializer)}
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(names - known))
    session = open_session(path, content=model.SerializeToString())
    maps = session.run(None, {graph.input[0].name: image})
    shapes: dict[str, tuple[int, ...]] = {graph.input[0].name: image.shape}
    shown = (value.name for value in session.get_outputs())
    return shapes | {name: np.asarray(value).shape for name, value in zip(shown, maps, strict=True)}


def _conv_macs(node: onnx.NodeProto, shapes: _Shapes) -> int:
    return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])


def _transposed_conv_macs(node: onnx.NodeProto, shapes: _Shapes) -> int:
    return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])


def _gemm_macs(node: onnx.NodeProto, shapes: _Shapes) -> int:
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else 1]


def _matmul_macs(node: onnx.NodeProto, shapes: _Shapes) -> int:
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


_MACS: Mapping[str, Callable[[onnx.NodeProto, _Shapes], int]] = {
    "Conv": _conv_macs,
    "ConvTranspose": _transposed_conv_macs,
    "Gemm": _gemm_macs,
    "MatMul": _matmul_macs,
}


def _learned(graph: onnx.GraphProto, bits: FileBits) -> Iterator[onnx.TensorProto]:
    """The constants that were learned."""
    for node in graph.node:
        if node.op_type == "Mul" and all(bits.constant(name) is not None for name in node.input):
            continue  # a scale of two scales
        for place in _LEARNED.get(node.op_type, ()):
            tensor = bits.constant(node.input[place]) if place < len(node.input) else None
            if tensor is None or tensor.data_type not in _VALUES:
                continue
            if node.op_type not in _SCALING or math.prod(tensor.dims) > 1:
                yield tensor
