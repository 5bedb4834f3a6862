"""Branches that a network can do without: what they read alone, and whether they are added to something."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace

from automl.core.graph import ChannelGroup, Extent, Layer
from automl.tracing.flow import Flow

_SUM = "add"
_BEYOND = ""
"""Stands for channels that no policy removes, such as the logits; no layer has an empty name."""


def with_branches(groups: Iterable[ChannelGroup], layers: Sequence[Layer], flow: Flow) -> tuple[ChannelGroup, ...]:
    """Marks the groups without which the network goes on.

    Dropping a group leaves the layers that read it with a constant. That is sensible where each such constant is
    added to what still depends on the image, as at the end of a residual branch. It is not in a block without a
    shortcut, and a gate or a concatenation is no sum. What only the branch reads goes with it.

    Args:
        groups: Every group; those that stay whole are never marked.
        layers: Of the same network.
        flow: How its forward pass ran.
    """
    listed = list(groups)
    makers = _makers(layers)
    reach = _live(makers, None)
    dead = {group.name: reach - _live(makers, group.name) for group in listed if group.prunable}
    sums = {name: _sums(gone, layers, flow) for name, gone in dead.items()}
    # A branch is named after the last of its groups. Of branches within branches only the innermost may go, so that
    # no group goes with two others.
    inner = {a for b in sums for a in dead[b] - {b} if sums[a] == sums[b]}
    branches = {name for name in sums if sums[name]} - inner
    droppable = {name for name in branches if dead[name] & branches == {name}}
    return tuple(
        replace(group, droppable=True, drops=tuple(g.name for g in listed if g.name in dead[group.name] - {group.name}))
        if group.name in droppable
        else group
        for group in listed
    )


def _makers(layers: Iterable[Layer]) -> Mapping[str, set[str]]:
    """For each group, and for what lies beyond all groups, the groups that the layers making it read."""
    makers: dict[str, set[str]] = {}
    for layer in layers:
        for made in _names(layer.outputs):
            makers.setdefault(made, set()).update(_names(layer.inputs) - {_BEYOND})
    return makers


def _live(makers: Mapping[str, set[str]], dropped: str | None) -> set[str]:
    """The groups that something still reads, directly or not, once `dropped` is gone."""
    live: set[str] = set()
    waiting = [_BEYOND]
    while waiting:
        fresh = makers.get(waiting.pop(), set()) - live - {dropped}
        live |= fresh
        waiting.extend(fresh)
    return live


def _sums(gone: Set[str], layers: Iterable[Layer], flow: Flow) -> frozenset[int]:
    """Where the constants that `gone` leaves are added to the rest; empty where that is not all that they meet."""
    ends = [layer for layer in layers if _names(layer.inputs) & gone and not _names(layer.outputs) <= gone]
    if not ends or not all(_names(layer.inputs) <= gone for layer in ends):
        return frozenset()
    joints = flow.joints({f"{layer.name}.weight" for layer in ends})
    only_sums = joints.arrives and set(joints.operators.values()) == {_SUM}
    return frozenset(joints.operators) if only_sums else frozenset()


def _names(extent: Extent) -> set[str]:
    groups = {name for name, _ in extent.terms}
    return groups | {_BEYOND} if extent.fixed else groups
