"""From linked labels to channel groups."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.core.graph import Extent
from automl.tracing.labels import Dimension
from automl.tracing.recorder import Call, Recording

Vector = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which group, and which channel of it, each label belongs to."""

    group_of: Vector
    """Group index of each label."""
    channel_of: Vector
    """Channel within the group of each label."""
    channels: Sequence[int]
    """Channels of each group."""
    reasons: Sequence[str | None]
    """Why each group stays whole; None where it can be pruned."""

    def counts(self, labels: Vector) -> dict[int, int]:
        """How many entries of `labels` each group has."""
        groups, counts = np.unique(self.group_of[labels], return_counts=True)
        return dict(zip(groups.tolist(), counts.tolist(), strict=True))


def group_labels(recording: Recording) -> Grouping:
    """Puts components that sit in the same tensors the same number of times into one group.

    Such components are interchangeable: a layer's output that is partly concatenated elsewhere gives two groups.
    """
    component, reasons = recording.book.components()
    signature: dict[int, list[tuple[int, int]]] = defaultdict(list)
    order: dict[int, int] = {}
    for index, labels in enumerate(_uses(recording)):
        components, first, counts = np.unique(component[labels], return_index=True, return_counts=True)
        for each, count in zip(components.tolist(), counts.tolist(), strict=True):
            signature[each].append((index, count))
        for each in components[np.argsort(first)].tolist():
            order.setdefault(each, len(order))
    return _number(component, signature, order, reasons)


def _uses(recording: Recording) -> list[Vector]:
    """Every place where labels sit: outputs of the layers first, in call order, then each tensor's dimensions."""
    outputs = [call.outputs for call in recording.calls.values()]
    inputs = [call.inputs for call in recording.calls.values()]
    return [*outputs, *inputs, *recording.book.dimensions.values()]


def _number(
    component: Vector,
    signature: Mapping[int, list[tuple[int, int]]],
    order: Mapping[int, int],
    reasons: Mapping[int, str],
) -> Grouping:
    groups: dict[object, int] = {}
    group_of = np.full(int(component.max(initial=0)) + 1, -1, dtype=np.int64)
    channel_of = np.zeros_like(group_of)
    channels: list[int] = []
    why: list[str | None] = []
    for each in order:
        reason = reasons.get(each)
        first_use, entries = signature[each][0]
        # What stays whole needs no finer division than the layer that makes it.
        key: object = first_use if reason is not None else tuple(signature[each])
        group = groups.setdefault(key, len(channels))
        if group == len(channels):
            channels.append(0)
            why.append(reason)
        group_of[each], channel_of[each] = group, channels[group]
        channels[group] += 1 if reason is None else entries
    return Grouping(group_of[component], channel_of[component], channels, why)


def extent_of(labels: Vector, grouping: Grouping, names: Mapping[int, str]) -> Extent:
    """The size of a dimension with these labels; `names` holds the prunable groups."""
    counts = {group: count for group, count in grouping.counts(labels).items() if group in names}
    terms = tuple((names[group], count // grouping.channels[group]) for group, count in counts.items())
    return Extent(int(labels.size) - sum(counts.values()), terms)


def name_groups(recording: Recording, grouping: Grouping) -> dict[int, str]:
    """Names each group that a layer produces after the first such layer; a second group of it gets `#2`."""
    names: dict[int, str] = {}
    for call in recording.calls.values():
        fresh = [group for group in dict.fromkeys(grouping.group_of[call.outputs].tolist()) if group not in names]
        for position, group in enumerate(fresh):
            names[group] = call.name if position == 0 else f"{call.name}#{position + 1}"
    return names


def reading(call: Call, group: int, grouping: Grouping) -> bool:
    """Whether the layer reads channels of the group."""
    return bool((grouping.group_of[call.inputs] == group).any())


def making(call: Call, group: int, grouping: Grouping) -> bool:
    """Whether the layer's outputs are channels of the group."""
    return bool((grouping.group_of[call.outputs] == group).any())


def dimension_units(
    dimensions: Mapping[Dimension, Vector], grouping: Grouping, first_unit: Mapping[int, int], fixed: int
) -> dict[Dimension, Vector]:
    """The unit of each entry of every dimension that can change; `first_unit` holds the prunable groups."""
    offset = np.full(len(grouping.channels), fixed, dtype=np.int64)
    for group, first in first_unit.items():
        offset[group] = first
    units: dict[Dimension, Vector] = {}
    for dimension, labels in dimensions.items():
        starts = offset[grouping.group_of[labels]]
        numbered = np.where(starts == fixed, fixed, starts + grouping.channel_of[labels])
        if (numbered != fixed).any():
            units[dimension] = numbered
    return units
