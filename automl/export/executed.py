"""What ONNX Runtime makes of a quantized file: which layers it computes in integers."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from automl.core.bits import FLOAT_BITS
from automl.export.file_bits import FileBits
from automl.export.integer_graph import CONTAINER_BITS
from automl.export.recount import load
from automl.export.session import open_session

_INTEGER_KERNELS = {"QLinearConv", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat", "ConvInteger", "MatMulInteger"}
_LAYOUT_SUFFIX = re.compile(r"_token_\d+$")
"""What ONNX Runtime appends to the names of nodes whose channels it moves last."""


@dataclass(frozen=True, slots=True)
class ExecutedBits:
    """Bits of one layer, 32 for float: as the policy has them, as they are stored, and as they are computed."""

    weight: int
    """The fewest that hold the layer's weights: those of the policy, unless it needs fewer."""
    activation: int
    """Of what the layer reads."""
    stored: int
    """Of a weight in the file: 4, 8 or 32."""
    executed: int
    """Of the kernel that runs: 8 or 32."""


def executed_bits(path: Path) -> Mapping[str, ExecutedBits]:
    """Opens the file and looks at what ONNX Runtime has made of each layer.

    Args:
        path: What `export_quantized` wrote.

    Returns:
        Layer -> bits, in the order of the file. Only layers whose nodes are named.

    Raises:
        InputError: If the file is missing, damaged, or beyond ONNX Runtime.
    """
    bits = FileBits(load(path).graph)
    in_integers = {
        _LAYOUT_SUFFIX.sub("", node.name) for node in _optimized(path).node if node.op_type in _INTEGER_KERNELS
    }
    found = {}
    for node in bits.layers:
        if node.name:
            own = bits.of(node)
            executed = CONTAINER_BITS if node.name in in_integers else FLOAT_BITS
            found[node.name] = ExecutedBits(own.weight, own.activation, own.stored, executed)
    return found


def _optimized(path: Path) -> onnx.GraphProto:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "optimized.onnx"
        open_session(path, optimized=target)
        return onnx.load(target).graph
