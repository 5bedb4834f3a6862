"""Bit-widths of the layers of an ONNX file, read from its integers and nothing else."""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from automl.core.bits import FLOAT_BITS
from automl.export.integer_graph import CONTAINER_BITS, LAYERS, MOVES

_STORED_BITS: dict[int, int] = {onnx.TensorProto.INT4: 4, onnx.TensorProto.INT8: 8}
_BETWEEN = ("Cast", "DequantizeLinear", "Transpose", "Identity")
"""What may stand between a constant and the layer that it belongs to."""


@dataclass(frozen=True, slots=True)
class LayerBits:
    """Bits of one layer, 32 for float."""

    weight: int
    """The fewest that hold every weight on a symmetric grid."""
    activation: int
    """Of what the layer reads."""
    stored: int
    """Of a weight in the file."""


class FileBits:
    """Finds the constants and the bits of a graph's layers."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        """Takes the graph; it is not changed."""
        self._constants: dict[str, onnx.TensorProto] = {tensor.name: tensor for tensor in graph.initializer}
        self._makers: dict[str, onnx.NodeProto] = {name: node for node in graph.node for name in node.output}
        self.layers = [node for node in graph.node if node.op_type in LAYERS and self._weight(node) is not None]
        """Convolutions and products with a constant."""

    def constant(self, name: str) -> onnx.TensorProto | None:
        """The constant that `name` is, or is made of."""
        while name not in self._constants:
            node = self._makers.get(name)
            if node is None or node.op_type not in _BETWEEN:
                return None
            name = node.input[0]
        return self._constants[name]

    def of(self, layer: onnx.NodeProto) -> LayerBits:
        """Bits of one of `layers`."""
        weight = self._weight(layer)
        assert weight is not None
        stored = _STORED_BITS.get(weight.data_type, FLOAT_BITS)
        return LayerBits(_levels_bits(weight) if stored < FLOAT_BITS else stored, self._activation(layer), stored)

    def _weight(self, layer: onnx.NodeProto) -> onnx.TensorProto | None:
        # A product with a learned matrix may have it on either side.
        places = (1, 0) if layer.op_type == "MatMul" else (1,)
        return next((tensor for place in places if (tensor := self.constant(layer.input[place])) is not None), None)

    def _activation(self, layer: onnx.NodeProto) -> int:
        node = self._makers.get(layer.input[0])
        while node is not None and node.op_type in MOVES:
            node = self._makers.get(node.input[0])
        if node is None or node.op_type != "DequantizeLinear":
            return FLOAT_BITS
        before = self._makers.get(node.input[0])
        if before is None or before.op_type != "Clip" or len(before.input) < 3:
            return CONTAINER_BITS
        most = self._constants.get(before.input[2])
        return CONTAINER_BITS if most is None else int(numpy_helper.to_array(most)).bit_length()


def _levels_bits(weight: onnx.TensorProto) -> int:
    peak = int(np.abs(numpy_helper.to_array(weight).astype(np.int32)).max(initial=1))
    return peak.bit_length() + 1
