"""From a network and an example to its graph."""

import torch
from torch import nn

from automl.core.graph import ChannelGroup, Extent, Layer, LayerKind, ModelGraph, TensorShape
from automl.tracing.branches import with_branches
from automl.tracing.channel_map import FIXED, ChannelMap, TracedModel
from automl.tracing.groups import (
    Grouping,
    dimension_units,
    extent_of,
    group_labels,
    making,
    name_groups,
    reading,
)
from automl.tracing.operators import handler_of
from automl.tracing.recorder import Call, Recording, record

_EXAMPLES = 2
"""Images in the example: with one, `squeeze()` in a forward would drop the batch dimension."""


def trace(model: nn.Module, input_shape: tuple[int, ...], keep_whole: dict[str, str] | None = None) -> TracedModel:
    """Finds the layers and channel groups of `model`.

    Args:
        model: Any module whose forward takes one batch of images and returns class logits. It comes back unchanged.
        input_shape: (channels, height, width) of one image.
        keep_whole: Group -> reason, for groups that are known to break when pruned.

    Raises:
        TraceError: If the forward pass fails on such images, or depends on their values.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    images = torch.randn(_EXAMPLES, *input_shape, generator=torch.Generator().manual_seed(0)).to(device)
    recording = record(model, images, handler_of)
    return _traced(model, recording, input_shape, keep_whole or {})


def _traced(
    model: nn.Module, recording: Recording, input_shape: tuple[int, ...], keep_whole: dict[str, str]
) -> TracedModel:
    grouping = group_labels(recording)
    names = name_groups(recording, grouping)
    groups = {index: _group(index, name, recording, grouping, keep_whole) for index, name in names.items()}
    prunable = {index: group.name for index, group in groups.items() if group.prunable}
    first_unit: dict[int, int] = {}
    for index in prunable:
        first_unit[index] = sum(grouping.channels[before] for before in first_unit)
    layers = tuple(_layer(call, grouping, prunable) for call in recording.calls.values())
    graph = ModelGraph(
        input_shape=input_shape,
        layers=layers,
        groups=with_branches(groups.values(), layers, recording.flow),
        tensors=tuple(_tensor_shapes(model, recording, grouping, prunable)),
        unfollowed=(*recording.uncounted, *_uncalled(model, recording)),
    )
    channel_map = ChannelMap(
        units=dimension_units(recording.book.dimensions, grouping, first_unit, FIXED),
        first_unit={prunable[index]: first for index, first in first_unit.items()},
        channels={group.name: group.channels for group in graph.prunable},
    )
    return TracedModel(graph, channel_map)


def _group(index: int, name: str, recording: Recording, grouping: Grouping, keep_whole: dict[str, str]) -> ChannelGroup:
    calls = recording.calls.values()
    reason = grouping.reasons[index] or keep_whole.get(name)
    if reason is None and grouping.channels[index] == 1:
        reason = "it has a single channel"
    return ChannelGroup(
        name=name,
        channels=grouping.channels[index],
        producers=tuple(call.name for call in calls if making(call, index, grouping)),
        consumers=tuple(call.name for call in calls if reading(call, index, grouping)),
        reason=reason,
    )


def _layer(call: Call, grouping: Grouping, prunable: dict[int, str]) -> Layer:
    outputs = extent_of(call.outputs, grouping, prunable)
    inputs = extent_of(call.inputs, grouping, prunable)
    return Layer(
        name=call.name,
        kind=_kind(call),
        outputs=outputs,
        inputs=inputs,
        filter_inputs=Extent(1) if call.filter_inputs is None else extent_of(call.filter_inputs, grouping, prunable),
        kernel=(_product(call.weight_shape[2:-1]), call.weight_shape[-1]) if len(call.weight_shape) > 2 else (1, 1),
        stride=call.stride,
        out_size=call.out_size,
        positions=call.positions,
    )


def _kind(call: Call) -> LayerKind:
    if len(call.weight_shape) == 2:
        return "linear"
    return "depthwise" if call.filter_inputs is None else "conv"


def _product(sizes: tuple[int, ...]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result


def _tensor_shapes(
    model: nn.Module, recording: Recording, grouping: Grouping, prunable: dict[int, str]
) -> list[TensorShape]:
    shapes = []
    for learned, tensors in ((True, model.named_parameters()), (False, model.named_buffers())):
        for name, tensor in tensors:
            extents = [Extent(size) for size in tensor.shape]
            for dim in range(tensor.ndim):
                labels = recording.book.dimensions.get((name, dim))
                if labels is not None:
                    extents[dim] = extent_of(labels, grouping, prunable)
            shapes.append(TensorShape(name, tuple(extents), learned, tensor.element_size()))
    return shapes


def _uncalled(model: nn.Module, recording: Recording) -> list[str]:
    """Layers with weights that never ran as such in eval mode: auxiliary heads, weights that forward rewrites."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
    layers = [name for name, module in model.named_modules() if isinstance(module, kinds)]
    return [f"`{name}` did not run in eval mode and stays whole" for name in layers if name not in recording.calls]
