"""`model.onnx`: the network as one self-contained float32 file."""

import copy
import warnings
from pathlib import Path
from typing import TypeVar

import onnx
import torch
from onnxscript.rewriter import rewrite
from onnxscript.rewriter.rules.common import expand_before_binary_op_rules
from torch import nn

from automl.compress.dropped import fold_norms
from automl.core.errors import ExportError
from automl.store.files import write_bytes

_Network = TypeVar("_Network", bound=nn.Module)
INPUT, OUTPUT = "images", "logits"
_OPSET = 18
"""The oldest one that torch's exporter writes, hence the one that most runtimes read."""
_MOST_BYTES = 1_900_000_000
"""Protocol buffers end at 2 GiB."""


def export_onnx(model: nn.Module, input_shape: tuple[int, int, int], path: Path) -> None:
    """Writes `model` as inference runs it: eval mode, batch norm folded into the convolutions before it.

    A dropped branch is one value per channel, whatever norm was behind it.
    The input `images` is `[batch, C, H, W]` and the output `logits` is `[batch, classes]`, for any batch.
    `model` itself stays as it is.

    Args:
        model: Whose forward pass `torch.export` can follow.
        input_shape: (channels, height, width) of one image.
        path: Written whole or not at all.

    Raises:
        ExportError: If the forward pass cannot be exported for any batch size, or the file would be too large.
        RunError: If the disk is full or the folder cannot be written.
    """
    proto = exported(inference_copy(model, input_shape), input_shape)
    _strip(proto)
    write_model(proto, path)


def write_model(proto: onnx.ModelProto, path: Path) -> None:
    """Checks `proto` and writes it whole or not at all.

    Raises:
        ExportError: If the file would be too large.
        RunError: If the disk is full or the folder cannot be written.
    """
    size = proto.ByteSize()
    if size > _MOST_BYTES:
        raise ExportError(
            f"An ONNX file holds at most {_MOST_BYTES / 1e9:g} GB, but this network takes {size / 1e9:.1f} GB. "
            "Compress it further, or use model.safetensors."
        )
    onnx.checker.check_model(proto)
    write_bytes(path, proto.SerializeToString())


def inference_copy(model: _Network, input_shape: tuple[int, int, int]) -> _Network:
    """A copy as inference runs it: on the CPU, in eval mode, with one constant for each dropped branch."""
    twin = copy.deepcopy(model).cpu().float().eval()
    for module in twin.modules():
        # The exporter takes twice as long over in-place activations, and they save nothing in the file.
        if isinstance(getattr(module, "inplace", None), bool):
            module.inplace = False  # type: ignore[assignment]
    fold_norms(twin, torch.zeros(1, *input_shape))
    return twin


def exported(model: nn.Module, input_shape: tuple[int, int, int], *, name: str | None = None) -> onnx.ModelProto:
    """What torch's exporter makes of `model`, any batch size, with the shapes of its tensors.

    Args:
        model: From `inference_copy`.
        input_shape: (channels, height, width) of one image.
        name: Of the network in messages; None takes the class of `model`.

    Raises:
        ExportError: If the forward pass cannot be followed for any batch size.
    """
    # Two images, because torch.export takes a dimension of 1 for a constant.
    example = torch.zeros(2, *input_shape)
    try:
        with warnings.catch_warnings():
            # Third-party deprecations on the way; what goes wrong with the network is raised.
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                verbose=False,
                opset_version=_OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )
    except Exception as error:  # whatever the user's forward pass raises while it is traced
        reason = str(error).strip().splitlines()
        raise ExportError(
            "A network must run for any batch size without branching on its values, but "
            f"{name or type(model).__name__} cannot be exported: {reason[0] if reason else type(error).__name__}. "
            "Rewrite that part of its forward pass; policy.json and model.safetensors do not need it."
        ) from error
    assert program is not None
    # A dropped branch is one value per channel: to be added as such, not spread out over a map first.
    rewrite(program.model, pattern_rewrite_rules=expand_before_binary_op_rules)
    return program.model_proto


def _strip(proto: onnx.ModelProto) -> None:
    """Removes stack traces, module paths and inferred shapes, which weigh more than the structure itself."""
    graph = proto.graph
    del graph.value_info[:], graph.metadata_props[:]
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
