"""What each operator does to the channels that pass through it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.core.errors import TraceError
from automl.tracing.labels import along, channels_of, compact, expanded
from automl.tracing.recorder import Call, Handler, Operator, Recorder

aten = torch.ops.aten
Vector = NDArray[np.int64]
_VIEWS = {aten.view, aten._unsafe_view, aten.reshape}


def handler_of(func: Operator) -> Handler | None:
    """The handler of an operator; None where its effect on channels is not known."""
    packet = func.overloadpacket
    name = packet.__name__
    if name.endswith("_") and packet not in _HANDLERS:  # in place: same channels as out of place
        packet = getattr(aten, name.removesuffix("_"), packet)
    handler = _HANDLERS.get(packet)
    if handler is None and any(torch.Tag.pointwise in getattr(packet, each).tags for each in packet.overloads()):
        return _pointwise
    return handler


def _convolution(recorder: Recorder, func: Operator, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
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


def _linear(recorder: Recorder, func: Operator, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
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


def _batch_norm(recorder: Recorder, func: Operator, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
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


def _statistics_norm(recorder: Recorder, func: Operator, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
    reason = f"the statistics of the `{func.overloadpacket.__name__}` in {recorder.where} span several channels"
    recorder.pin(args[0], reason)
    recorder.fix(out, reason)


def _pointwise(recorder: Recorder, func: Operator, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
    """Links the operands entry by entry; an operand that is spread over the channels of another keeps its own."""
    result = out if isinstance(out, Tensor) else out[0]
    operands = [labels for value in [*args, *kwargs.values()] if (labels := recorder.labels_of(value)) is not None]
    bases = [channels_of(labels.expand(result.shape)) for labels in operands]
    varying = [dim for dim in range(result.ndim) if any(base.shape[dim] > 1 for base in bases)]
    linked: list[Tensor] = []
    for labels, base in zip(operands, bases, strict=True):
        shape = (1,) * (result.ndim - labels.ndim) + tuple(labels.shape)
        if any(shape[dim] == 1 and result.shape[dim] > 1 for dim in varying):
            recorder.book.pin(labels, f"spread over the channels of another tensor in {recorder.where}")
        else:
            linked.append(base)
    if not linked:
        recorder.fix(result, f"made from several spread tensors in {recorder.where}")
        return
    for other in linked[1:]:
        first, second = np.broadcast_arrays(linked[0].numpy(), other.numpy())
        recorder.book.link(first, second)
    recorder.set_labels(result, max(linked, key=Tensor.numel).expand(result.shape))


def _movement(recorder: Recorder, func: Operator, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
    """Moves the labels exactly as the operator moves the values."""
    # Labels are expanded, so a view of them may not exist where one of the values does.
    move = aten.reshape if func.overloadpacket in _VIEWS else func
    moved = move(*_as_labels(recorder, args), **kwargs)
    results = [out] if isinstance(out, Tensor) else list(out)
    for value, labels in zip(results, [moved] if isinstance(moved, Tensor) else list(moved), strict=True):
        recorder.set_labels(value, labels)
        if sum(size > 1 for size in channels_of(compact(labels)).shape) > 1:
            recorder.pin(
                value, f"`{func.overloadpacket.__name__}` in {recorder.where} spreads channels over dimensions"
            )


def _split(recorder: Recorder, func: Operator, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
    """Pins channels that are cut at fixed places, then moves the labels."""
    dim = int(args[{"slice": 1, "select": 1, "unbind": 1}.get(func.overloadpacket.__name__, 2)]) if len(args) > 1 else 0
    labels = recorder.labels_of(args[0])
    if labels is not None and channels_of(labels).shape[dim] > 1 and not _whole(args[0], out):
        recorder.pin(args[0], f"`{func.overloadpacket.__name__}` in {recorder.where} cuts the channels at fixed places")
    _movement(recorder, func, args, kwargs, out)


def _whole(value: Tensor, out: Any) -> bool:
    return isinstance(out, Tensor) and out.shape == value.shape


def _spatial(recorder: Recorder, func: Operator, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
    """Pooling, resizing and padding of maps: channels stay, only height and width change."""
    result = out if isinstance(out, Tensor) else out[0]
    labels = recorder.channel_labels(args[0], 1)
    recorder.set_labels(result, expanded(labels, result.shape, 1))


def _pad(recorder: Recorder, func: Operator, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
    """Zeros added to the channels (the parameter-free shortcut of CIFAR ResNets) are entries that stay."""
    labels = recorder.labels_of(args[0])
    if labels is None:
        recorder.fix(out, f"padded from one value in {recorder.where}")
        return
    vector = along(labels, 1) if labels.ndim > 1 else None
    pads = list(args[1])
    before, after = pads[2 * (labels.ndim - 2) : 2 * (labels.ndim - 2) + 2] or (0, 0)
    if vector is None or before < 0 or after < 0:
        reason = f"padded in {recorder.where}"
        recorder.pin(args[0], reason)
        recorder.fix(out, reason)
        return
    zeros = recorder.book.pinned(f"zeros padded to the channels in {recorder.where}") if before or after else 0
    padded = np.concatenate([np.full(before, zeros), vector, np.full(after, zeros)]).astype(np.int64)
    recorder.set_labels(out, expanded(padded, out.shape, 1))


def _reduction(recorder: Recorder, func: Operator, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
    """A mean, sum or maximum over positions keeps the channels; one over channels mixes them."""
    result = out if isinstance(out, Tensor) else out[0]
    labels = recorder.labels_of(args[0])
    dims = args[1] if len(args) > 1 and args[1] is not None else range(args[0].ndim)
    reduced = sorted(int(dim) % args[0].ndim for dim in ([dims] if isinstance(dims, int) else dims))
    if labels is None or any(channels_of(labels).shape[dim] > 1 for dim in reduced):
        reason = f"`{func.overloadpacket.__name__}` in {recorder.where} runs over channels"
        recorder.pin(args[0], reason)
        recorder.fix(result, reason)
        return
    for dim in reversed(reduced):
        labels = labels.narrow(dim, 0, 1) if result.ndim == args[0].ndim else labels.select(dim, 0)
    recorder.set_labels(result, labels)


def _same(recorder: Recorder, func: Operator, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
    """Copies: the result has its argument's labels."""
    labels = recorder.labels_of(args[0])
    for result in [out] if isinstance(out, Tensor) else [value for value in out if isinstance(value, Tensor)]:
        if labels is not None and result.shape == labels.shape:
            recorder.set_labels(result, labels)


def _value(recorder: Recorder, func: Operator, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
    raise TraceError(
        f"The forward pass must not depend on the values of its tensors, but {recorder.where} reads one "
        f"(`{func.overloadpacket.__name__}`: an `if` on a tensor, `.item()`, a mask). "
        "Move that decision out of forward; only shapes may steer it."
    )


def _nothing(recorder: Recorder, func: Operator, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
    """Operators that make tensors from shapes; what they make is labelled where it is first read."""


def _as_labels(recorder: Recorder, args: Sequence[Any]) -> list[Any]:
    """The arguments with each tensor replaced by its labels."""

    def swapped(value: Any) -> Any:
        if isinstance(value, Tensor):
            labels = recorder.labels_of(value)
            if labels is None:
                return torch.full(value.shape, recorder.book.pinned(f"a single value in {recorder.where}"))
            return labels
        return [swapped(item) for item in value] if isinstance(value, list | tuple) else value

    return [swapped(value) for value in args]


_HANDLERS: dict[Any, Handler] = {
    aten.convolution: _convolution,
    aten.linear: _linear,
    aten.native_batch_norm: _batch_norm,
    aten._native_batch_norm_legit: _batch_norm,
    aten._native_batch_norm_legit_no_training: _batch_norm,
    aten.cudnn_batch_norm: _batch_norm,
    aten.native_layer_norm: _statistics_norm,
    aten.native_group_norm: _statistics_norm,
    aten.max_pool2d_with_indices: _spatial,
    aten.max_pool2d: _spatial,
    aten.avg_pool2d: _spatial,
    aten._adaptive_avg_pool2d: _spatial,
    aten.adaptive_max_pool2d: _spatial,
    aten.upsample_nearest2d: _spatial,
    aten.upsample_bilinear2d: _spatial,
    aten.reflection_pad2d: _spatial,
    aten.replication_pad2d: _spatial,
    aten.constant_pad_nd: _pad,
    aten.mean: _reduction,
    aten.sum: _reduction,
    aten.amax: _reduction,
    aten.max: _reduction,
    aten.view: _movement,
    aten._unsafe_view: _movement,
    aten.reshape: _movement,
    aten.permute: _movement,
    aten.transpose: _movement,
    aten.t: _movement,
    aten.unsqueeze: _movement,
    aten.squeeze: _movement,
    aten.expand: _movement,
    aten.cat: _movement,
    aten.slice: _split,
    aten.select: _split,
    aten.split: _split,
    aten.split_with_sizes: _split,
    aten.unbind: _split,
    aten.clone: _same,
    aten._to_copy: _same,
    aten.alias: _same,
    aten.detach: _same,
    aten.lift_fresh: _same,
    aten.native_dropout: _same,
    aten.copy_: _pointwise,
    aten.hardswish: _pointwise,
    aten._prelu_kernel: _pointwise,
    aten._local_scalar_dense: _value,
    aten.item: _value,
    aten.nonzero: _value,
    aten.masked_select: _value,
    aten.empty: _nothing,
    aten.empty_like: _nothing,
    aten.zeros_like: _nothing,
    aten.ones_like: _nothing,
    aten.new_empty: _nothing,
    aten.new_zeros: _nothing,
    aten.new_ones: _nothing,
    aten.new_full: _nothing,
    aten.zeros: _nothing,
    aten.ones: _nothing,
    aten.full: _nothing,
    aten.arange: _nothing,
}
