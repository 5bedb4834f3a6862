"""Puts integers and their scales where an exported graph has markers.

What is written is what runtimes make one integer kernel of: a layer, an addition or a pooling between dequantized
tensors and a quantizer. Activations are 8-bit integers per tensor; where their grid has fewer bits, the integers are
clipped to it, which leaves the kernels on both sides as they are. Weights are 8-bit integers per channel, stored in
4 bits where they fit: the cast is done when a file is loaded, and no runtime has a fast kernel for less than 8 bits.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from automl.compress.grid import Grid
from automl.compress.quantized import QuantizedNetwork
from automl.export.graph_parts import GraphParts
from automl.export.markers import ACTIVATION, DOMAIN, KEY, WEIGHT

CONTAINER_BITS = 8
"""Bits of the integers that activations are held in."""
OPSET_WITH_INT4 = 21
MOVES = ("MaxPool", "GlobalMaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Expand")
"""Operators whose output has the grid of their input."""
LAYERS = ("Conv", "Gemm", "MatMul", "ConvTranspose")
"""Operators of layers, whose second input is the weight."""
_NETWORK, _WEIGHT = "network.", ".weight"
_INT4_HIGH = 7
_Floats = NDArray[np.float32]
_MOST_BIAS = 2.0**30
"""Biases and products are added up in 32 bits."""


@dataclass(frozen=True, slots=True)
class _Levels:
    """One tensor of activations: the names of its constants, and its grid."""

    constants: tuple[str, str]
    """Scale and zero point."""
    scale: float
    low: float
    """The lowest level, as a value."""
    high: float
    """The highest one."""
    last: int
    """The integer of the highest one; the first is 0."""

    def absorb(self, least: float, most: float) -> bool:
        """Whether clipping to `least` and `most` before the rounding changes nothing."""
        # What is clipped rounds to the end of the grid as long as it stays within half a step of it.
        return least <= self.low + self.scale / 4 and most >= self.high - self.scale / 4


@dataclass(frozen=True, slots=True)
class _Weight:
    """What a layer weighs."""

    integers: NDArray[np.int8]
    scales: str
    """The constant of its scales, one for each entry of the dimension `axis`."""
    axis: int
    target: str
    """The tensor that the layer reads."""


def quantize_graph(proto: onnx.ModelProto, quantized: QuantizedNetwork) -> None:
    """Replaces every marker of `proto`; layers with integer weights are nodes named as the layer.

    Args:
        proto: Exported from `Marked(quantized)`, shapes included; it is changed.
        quantized: Its grids, and the weights, which lie on them.
    """
    _name_layers(proto.graph)
    parts = GraphParts(proto.graph)
    _pool_globally(parts)
    levels = _quantize_activations(parts, quantized)
    _quantize_weights(parts, quantized, levels)
    parts.write()
    kept = [opset for opset in proto.opset_import if opset.domain != DOMAIN]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)
    if any(tensor.data_type == onnx.TensorProto.INT4 for tensor in proto.graph.initializer):
        # Between 18 and 21, the operators of these graphs have only got more types.
        for opset in proto.opset_import:
            opset.version = max(opset.version, OPSET_WITH_INT4) if opset.domain == "" else opset.version


def _name_layers(graph: onnx.GraphProto) -> None:
    """Names the nodes of float layers as the layers, and no other node; those with integer weights follow."""
    for node in graph.node:
        weight = node.input[1] if node.op_type in LAYERS and len(node.input) > 1 else ""
        inside = weight.startswith(_NETWORK) and weight.endswith(_WEIGHT)
        node.name = weight[len(_NETWORK) : -len(_WEIGHT)] if inside else ""


def _pool_globally(parts: GraphParts) -> None:
    """Means over whole maps become poolings, which have integer kernels."""
    for node in parts.of("ReduceMean"):
        if not _is_over_maps(parts, node):
            continue
        parts.remove(node)
        source, target = node.input[0], node.output[0]
        if any(attribute.name == "keepdims" and not attribute.i for attribute in node.attribute):
            target = _flattened(parts, target)
        parts.add(helper.make_node("GlobalAveragePool", [source], [target]))


def _is_over_maps(parts: GraphParts, node: onnx.NodeProto) -> bool:
    """Whether it averages height and width, and nothing else."""
    axes = parts.array(node.input[1]) if len(node.input) > 1 else None
    if axes is None or parts.rank(node.input[0]) != 4:
        return False
    return sorted(int(axis) % 4 for axis in axes.reshape(-1)) == [2, 3]


def _flattened(parts: GraphParts, name: str) -> str:
    """Makes `name` by flattening; returns what is flattened. A quantizer stays next to what makes its tensor."""
    pooled, readers = parts.new_name(), parts.readers(name)
    # ONNX Runtime moves quantizers past a Reshape, but not past a Flatten.
    shape = parts.constant(np.array([0, -1], np.int64))
    if len(readers) == 1 and readers[0].op_type == ACTIVATION:
        (marker,) = readers
        parts.remove(marker)
        end, quantized = marker.output[0], parts.new_name()
        parts.add(helper.make_node(ACTIVATION, [pooled], [quantized], domain=DOMAIN, **{KEY: _key(marker)}))
        parts.add(helper.make_node("Reshape", [quantized, shape], [end]))
    else:
        parts.add(helper.make_node("Reshape", [pooled, shape], [name]))
    return pooled


def _quantize_activations(parts: GraphParts, quantized: QuantizedNetwork) -> dict[str, _Levels]:
    """Writes quantizers; returns the levels of each dequantized tensor."""
    grids, found = quantized.activation_grids, {}
    for marker in parts.of(ACTIVATION):
        grid = grids[_key(marker)]
        scale, zero = float(grid.scale), int(grid.zero_point)
        # ONNX Runtime moves no quantizer past a reshape unless its zero point is written, even where that is 0.
        constants = (parts.constant(np.array(scale, np.float32)), parts.constant(np.array(zero, np.uint8)))
        levels = _Levels(constants, scale, -zero * scale, (grid.high - zero) * scale, grid.high)
        source, target = _before_rectifier(parts, marker.input[0], levels), marker.output[0]
        integers = parts.new_name()
        nodes = [helper.make_node("QuantizeLinear", [source, *constants], [integers])]
        if grid.high < 2**CONTAINER_BITS - 1:
            most, clipped = parts.constant(np.array(grid.high, np.uint8)), parts.new_name()
            nodes.append(helper.make_node("Clip", [integers, "", most], [clipped]))
            integers = clipped
        nodes.append(helper.make_node("DequantizeLinear", [integers, *constants], [target]))
        parts.remove(marker)
        parts.add(*nodes)
        found[target] = levels
    return found


def _before_rectifier(parts: GraphParts, name: str, levels: _Levels) -> str:
    """The tensor to quantize in place of `name`: without a rectifier that the grid makes needless."""
    node = parts.maker(name)
    if node is None or len(parts.readers(name)) != 1:
        return name
    ends = _ends(parts, node)
    if ends is None or not levels.absorb(*ends):
        return name
    parts.remove(node)
    return str(node.input[0])


def _ends(parts: GraphParts, node: onnx.NodeProto) -> tuple[float, float] | None:
    """What a rectifier clips to; None for any other node."""
    if node.op_type == "Relu":
        return 0.0, math.inf
    if node.op_type != "Clip":
        return None
    least, most, *_ = (parts.array(end) if end else None for end in (*node.input[1:], "", ""))
    return -math.inf if least is None else float(least), math.inf if most is None else float(most)


def _quantize_weights(parts: GraphParts, quantized: QuantizedNetwork, levels: Mapping[str, _Levels]) -> None:
    for marker in parts.of(WEIGHT):
        layer = _key(marker)
        grid, weight, target = quantized.weight_grids[layer], parts.array(marker.input[0]), marker.output[0]
        assert weight is not None  # a parameter
        parts.remove(marker)
        (reader,) = parts.readers(target)
        axis = 0
        if reader.op_type == "Transpose":
            parts.remove(reader)
            axis, weight, target = weight.ndim - 1, weight.T, reader.output[0]
            (reader,) = parts.readers(target)
        reader.name = layer
        bias = parts.array(reader.input[2]) if len(reader.input) > 2 else None
        read = _source(parts, reader.input[0], levels)
        scale = np.broadcast_to(grid.scale.numpy(), weight.shape[axis : axis + 1])
        if bias is not None and read is not None:
            scale = np.maximum(scale, np.abs(bias) / (_MOST_BIAS * read.scale)).astype(np.float32)
        scales = parts.constant(np.ascontiguousarray(scale))
        stored = _Weight(_integers(weight, scale, axis, grid), scales, axis, target)
        # ONNX Runtime finds no integer kernel for a product of matrices unless the zero points are written.
        _store(parts, stored, small=grid.high <= _INT4_HIGH, with_zeros=reader.op_type != "Conv")
        if bias is not None and read is not None:
            parts.rewire(reader, 2, _quantized_bias(parts, bias, scale, scales, read))


def _integers(weight: _Floats, scale: _Floats, axis: int, grid: Grid) -> NDArray[np.int8]:
    steps = scale.reshape([-1 if place == axis else 1 for place in range(weight.ndim)])
    integers: NDArray[np.int8] = np.clip(np.rint(weight / steps), grid.low, grid.high).astype(np.int8)
    return integers


def _store(parts: GraphParts, weight: _Weight, *, small: bool, with_zeros: bool) -> None:
    """Adds the nodes that make a weight of its integers."""
    constants = [weight.scales]
    if with_zeros:
        constants.append(parts.constant(np.zeros(weight.integers.shape[weight.axis], np.int8)))
    if small:
        name = parts.new_name()
        stored = parts.packed(weight.integers)
        parts.add(helper.make_node("Cast", [stored], [name], to=int(onnx.TensorProto.INT8)))
    else:
        name = parts.constant(weight.integers)
    parts.add(helper.make_node("DequantizeLinear", [name, *constants], [weight.target], axis=weight.axis))


def _quantized_bias(
    parts: GraphParts,
    bias: _Floats,
    scale: _Floats,
    scales: str,
    read: _Levels,
) -> str:
    """Writes the bias in units of what is added up, which is what it reads times what it weighs."""
    unit = scale.astype(np.float64) * np.float32(read.scale)
    integers = parts.constant(np.rint(bias / unit).astype(np.int32))
    # A product that is done when the file is loaded takes less room than its result.
    units, target = parts.new_name(), parts.new_name()
    product = helper.make_node("Mul", [scales, read.constants[0]], [units])
    parts.add(product, helper.make_node("DequantizeLinear", [integers, units], [target], axis=0))
    return target


def _source(parts: GraphParts, name: str, levels: Mapping[str, _Levels]) -> _Levels | None:
    """Levels of the tensor `name`, which may have been moved since it was quantized."""
    while name not in levels:
        node = parts.maker(name)
        if node is None or node.op_type not in MOVES:
            return None
        name = node.input[0]
    return levels[name]


def _key(marker: onnx.NodeProto) -> str:
    return str(next(attribute.s.decode() for attribute in marker.attribute if attribute.name == KEY))
