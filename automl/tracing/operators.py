"""What each operator does to the channels that pass through it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from automl.core.errors import TraceError
from automl.tracing.labels import along, channels_of, compact, expanded
from automl.tracing.layers import batch_norm, convolution, linear
from automl.tracing.recorder import Handler, Operator, Recorder

aten = torch.ops.aten
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
    aten.convolution: convolution,
    aten.linear: linear,
    aten.native_batch_norm: batch_norm,
    aten._native_batch_norm_legit: batch_norm,
    aten._native_batch_norm_legit_no_training: batch_norm,
    aten.cudnn_batch_norm: batch_norm,
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
