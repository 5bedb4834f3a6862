"""`model.onnx` of a quantized network: integers, and the quantizers around what runtimes compute in integers."""

from pathlib import Path

import onnx

from automl.compress.quantized import QuantizedNetwork
from automl.export.compact import compact
from automl.export.integer_graph import quantize_graph
from automl.export.markers import Marked
from automl.export.onnx_file import exported, inference_copy, write_model


def export_quantized(quantized: QuantizedNetwork, input_shape: tuple[int, int, int], path: Path) -> None:
    """Writes `quantized` as one self-contained file that ONNX Runtime runs in integers.

    Input and output are those of `export_onnx`, in float32. Weights of 4 bits and fewer are stored in 4 bits. A layer
    without bits is stored in float32, which does not keep ONNX Runtime from rounding it between two quantizers; see
    `executed_bits`. `quantized` itself stays as it is.

    Args:
        quantized: Whose forward pass `torch.export` can follow.
        input_shape: (channels, height, width) of one image.
        path: Written whole or not at all.

    Raises:
        ExportError: If the forward pass cannot be exported for any batch size, or the file would be too large.
        RunError: If the disk is full or the folder cannot be written.
    """
    proto = quantized_proto(quantized, input_shape)
    compact(proto)
    write_model(proto, path)


def quantized_proto(quantized: QuantizedNetwork, input_shape: tuple[int, int, int]) -> onnx.ModelProto:
    """The graph that `export_quantized` writes, with names and shapes that the file does without.

    Args:
        quantized: Whose forward pass `torch.export` can follow; it stays as it is.
        input_shape: (channels, height, width) of one image.

    Raises:
        ExportError: If the forward pass cannot be exported for any batch size.
    """
    twin = inference_copy(quantized, input_shape)
    twin.bake()
    proto = exported(Marked(twin), input_shape, name=type(quantized.network).__name__)
    quantize_graph(proto, twin)
    return proto
