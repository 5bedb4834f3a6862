"""Layers: the operators that read weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from automl.tracing.labels import expanded
from automl.tracing.recorder import Call, Operator, Recorder

Vector = NDArray[np.int64]


def convolution(recorder: Recorder, func: Operator, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
    """Makes new channels from those it reads, which it ties together where it has groups."""
    images, weight, bias = args[:3]
    stride, transposed, groups = args[3], bool(args[6]), int(args[8])
    name = recorder.name_of(weight)
    whole = _whole_because(name, transposed)
    if whole is not None:
        reason = f"the convolution in {recorder.where} {whole}"
        inputs, outputs = _kept_whole(recorder, images, 1, out, 1, reason)
        filter_inputs: Vector | None = inputs[: inputs.size // groups]
    else:
        inputs = recorder.channel_labels(images, 1)
        outputs = _output_labels(recorder, str(name), out.shape[1])
        filter_inputs = _connect(recorder, str(name), inputs, outputs, groups)
        _bind_bias(recorder, bias, outputs)
        recorder.set_labels(out, expanded(outputs, out.shape, 1))
    moved = images if transposed else out  # where the kernel is placed
    _count(
        recorder,
        Call(
            name=_layer_name(recorder, name),
            weight_shape=tuple(weight.shape),
            stride=(int(stride[0]), int(stride[-1])),
            inputs=inputs,
            outputs=outputs,
            filter_inputs=filter_inputs,
            out_size=(int(np.prod(out.shape[2:-1])), int(out.shape[-1])),
            positions=moved[0, 0].numel() * len(moved) // recorder.batch,
        ),
    )


def _whole_because(name: str | None, transposed: bool = False) -> str | None:
    if name is None:
        return "computes its weight in the forward pass"
    return "is transposed" if transposed else None


def _kept_whole(
    recorder: Recorder, value: Tensor, channel_dim: int, out: Tensor, out_dim: int, reason: str
) -> tuple[Vector, Vector]:
    """Pins what a layer reads and makes; it still counts."""
    recorder.pin(value, reason)
    recorder.fix(out, reason)
    inputs, outputs = recorder.channel_labels(value, channel_dim), recorder.channel_labels(out, out_dim)
    return inputs, outputs


def _layer_name(recorder: Recorder, weight_name: str | None) -> str:
    return recorder.path[-1] if weight_name is None else weight_name.removesuffix(".weight")


def _connect(recorder: Recorder, name: str, inputs: Vector, outputs: Vector, groups: int) -> Vector | None:
    """Ties a convolution's labels by its groups; returns the labels that one filter reads, None for depthwise."""
    if groups == 1:
        return recorder.book.bind((name, 1), inputs)
    if groups == inputs.size:
        # Depthwise: one input channel per filter, so pruning the producer prunes this too.
        recorder.book.link(np.repeat(inputs, outputs.size // groups), outputs)
        return None
    # Every group keeps the same positions, so that the number of groups stays and their widths stay equal.
    for labels in (inputs, outputs):
        by_group = labels.reshape(groups, -1)
        recorder.book.link(by_group, np.broadcast_to(by_group[:1], by_group.shape))
    return recorder.book.bind((name, 1), inputs[: inputs.size // groups])


def linear(recorder: Recorder, func: Operator, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
    """Makes new channels along the last dimension."""
    features, weight = args[:2]
    bias = args[2] if len(args) > 2 else kwargs.get("bias")
    name = recorder.name_of(weight)
    whole = _whole_because(name)
    if whole is not None:
        reason = f"the linear layer in {recorder.where} {whole}"
        inputs, outputs = _kept_whole(recorder, features, features.ndim - 1, out, out.ndim - 1, reason)
    else:
        inputs = recorder.channel_labels(features, features.ndim - 1)
        outputs = _output_labels(recorder, str(name), out.shape[-1])
        recorder.book.bind((str(name), 1), inputs)
        _bind_bias(recorder, bias, outputs)
        recorder.set_labels(out, expanded(outputs, out.shape, out.ndim - 1))
    _count(
        recorder,
        Call(
            name=_layer_name(recorder, name),
            weight_shape=tuple(weight.shape),
            stride=(1, 1),
            inputs=inputs,
            outputs=outputs,
            filter_inputs=inputs,
            out_size=(1, 1),
            positions=out[..., 0].numel() // recorder.batch,
        ),
    )


def _output_labels(recorder: Recorder, name: str, size: int) -> Vector:
    known = recorder.book.dimensions.get((name, 0))
    return recorder.book.bind((name, 0), recorder.book.fresh(size)) if known is None else known


def _bind_bias(recorder: Recorder, bias: Any, outputs: Vector) -> None:
    name = recorder.name_of(bias)
    if name is not None:
        recorder.book.bind((name, 0), outputs)
    elif isinstance(bias, Tensor):
        recorder.book.pin(outputs, f"the bias in {recorder.where} is computed in the forward pass")


def _count(recorder: Recorder, call: Call) -> None:
    known = recorder.recording.calls.get(call.name)
    if known is None:
        recorder.recording.calls[call.name] = call
    else:  # a shared module: the same weights run again
        known.positions += call.positions
        known.out_size = call.out_size


def batch_norm(recorder: Recorder, func: Operator, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
    """Has one scale, shift, mean and variance per channel."""
    images = args[0]
    labels = recorder.channel_labels(images, 1)
    for tensor in args[1:5]:
        name = recorder.name_of(tensor)
        if name is not None:
            recorder.book.bind((name, 0), labels)
        elif isinstance(tensor, Tensor):
            recorder.book.pin(labels, f"the batch norm in {recorder.where} computes its weights in the forward pass")
    result = out if isinstance(out, Tensor) else out[0]
    recorder.set_labels(result, expanded(labels, result.shape, 1))
