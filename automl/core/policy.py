"""The compression policy: how many channels of each group are kept, and at how many bits each layer runs."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from automl.core.bits import ACTIVATION_BITS, WEIGHT_BITS, BitWidths
from automl.core.decode import decoded
from automl.core.errors import PolicyError
from automl.core.graph import ChannelGroup, ModelGraph


@dataclass(frozen=True, slots=True)
class CompressionPolicy:
    """Integers only, so that equal networks are equal policies."""

    channels: Mapping[str, int]
    """Channel group -> channels kept, 0 for a dropped branch; a group that is absent keeps all."""
    bits: Mapping[str, BitWidths] = field(default_factory=dict)
    """Layer -> bit-widths; a layer that is absent stays in float32."""

    def __hash__(self) -> int:
        """Hashes what `digest` hashes."""
        return hash(self.digest())

    def to_json(self) -> dict[str, Any]:
        """The policy as plain JSON values, keys sorted."""
        return {
            "channels": {name: int(kept) for name, kept in sorted(self.channels.items())},
            "bits": {
                name: {"weight": bits.weight, "activation": bits.activation} for name, bits in sorted(self.bits.items())
            },
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "CompressionPolicy":
        """Reads what `to_json` gave; raises `ValueError` on anything else."""
        return decoded(cls, value)

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal; the key of every cache."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def dense_policy(graph: ModelGraph) -> CompressionPolicy:
    """The policy that removes nothing, every group written out."""
    return CompressionPolicy({group.name: group.channels for group in graph.prunable})


def with_dead_groups(graph: ModelGraph, channels: Mapping[str, int]) -> dict[str, int]:
    """`channels` with 0 for every group that only dropped branches read.

    Args:
        graph: Says which groups go with which branch (`ChannelGroup.drops`).
        channels: Channel group -> channels kept.
    """
    dead = [name for group in graph.groups if channels.get(group.name) == 0 for name in group.drops]
    return {**channels, **dict.fromkeys(dead, 0)}


def checked_policy(graph: ModelGraph, policy: CompressionPolicy) -> CompressionPolicy:
    """Holds `policy` against `graph` and writes out the groups that it leaves whole, or that go with a branch.

    Raises:
        PolicyError: If a group or layer is unknown, cannot be pruned or dropped, or a count is out of range.
    """
    groups = {group.name: group for group in graph.groups}
    branch_of = {name: group.name for group in graph.groups for name in group.drops}
    for name, kept in policy.channels.items():
        if name not in groups:
            raise PolicyError(
                f"Every channel group of a policy must be in the model, but {name!r} is not. "
                "List the groups with `automl describe MODEL --json`."
            )
        _check_count(groups[name], kept, branch_of.get(name))
    for name, branch in branch_of.items():
        of_branch = policy.channels.get(branch, groups[branch].channels)
        if name in policy.channels and (policy.channels[name] == 0) != (of_branch == 0):
            raise PolicyError(
                f"{name!r} must be 0 exactly when {branch!r} is 0, whose branch alone reads it, but the policy says "
                f"{policy.channels[name]} and {of_branch}. Drop both, or neither."
            )
    chosen = with_dead_groups(graph, policy.channels)
    bits = {name: policy.bits[name] for name in policy.bits if name not in gone_layers(graph, chosen)}
    _check_bits(graph, chosen, bits)
    return CompressionPolicy({g.name: int(chosen.get(g.name, g.channels)) for g in graph.prunable}, bits)


def gone_layers(graph: ModelGraph, channels: Mapping[str, int]) -> frozenset[str]:
    """Layers that dropped branches take along: nothing is left for them to read, or to make.

    Args:
        graph: Says which layers read and make which groups.
        channels: Channel group -> channels kept; a group that is absent keeps all.
    """
    if 0 not in channels.values():
        return frozenset()
    kept = {group.name: channels.get(group.name, group.channels) for group in graph.groups}
    gone = (x.name for x in graph.layers if not x.outputs.size(kept) or not x.inputs.size(kept))
    return frozenset(gone)


def _check_count(group: ChannelGroup, kept: int, branch: str | None) -> None:
    """Refuses a count that no policy may have; `branch` is the group that this one goes with."""
    least = 0 if group.droppable or branch is not None else 1
    if not least <= kept <= group.channels:
        rule = " Only the inner channels of a branch that is added to others may all go." if kept == 0 else ""
        raise PolicyError(
            f"A policy keeps {least} to {group.channels} channels of {group.name!r}, but it says {kept}.{rule}"
        )
    if group.reason is not None and kept != group.channels:
        raise PolicyError(
            f"{group.name!r} must keep all its {group.channels} channels ({group.reason}), but the policy says {kept}."
        )


def _check_bits(graph: ModelGraph, channels: Mapping[str, int], bits: Mapping[str, BitWidths]) -> None:
    """Refuses bit-widths that the network with these channels cannot have."""
    layers = {layer.name for layer in graph.layers}
    for name, widths in bits.items():
        if name not in layers:
            raise PolicyError(f"Every layer with bit-widths must be in the model, but {name!r} is not.")
        if widths.weight not in WEIGHT_BITS or widths.activation not in ACTIVATION_BITS:
            raise PolicyError(
                f"A layer has {WEIGHT_BITS.start} to {WEIGHT_BITS.stop - 1} bits for its weights and "
                f"{ACTIVATION_BITS.start} to {ACTIVATION_BITS.stop - 1} for its inputs, but {name!r} has "
                f"{widths.weight} and {widths.activation}. A layer that is left out stays in float."
            )
    if graph.quantizable is None:
        return
    for tied in graph.quantizable.inputs:
        found = {name: bits[name].activation for name in tied if name in bits}
        if len(set(found.values())) > 1:
            low, high = (pick(found, key=found.__getitem__) for pick in (min, max))
            raise PolicyError(
                f"Layers that read the same activations must read them in the same bits, but {low!r} has {found[low]} "
                f"and {high!r} has {found[high]}."
            )
    able = set(graph.quantizable.layers)
    missing = sorted(able - set(bits) - gone_layers(graph, channels)) if bits else []
    if missing:
        raise PolicyError(
            f"A policy gives bit-widths to every layer that can have them or to none, but {missing[0]!r} has none."
        )
    other = sorted(set(bits) - able)
    if other:
        raise PolicyError(f"Bit-widths are for layers that run once, as a module, but {other[0]!r} does not.")
