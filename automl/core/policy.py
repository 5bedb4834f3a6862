"""The compression policy: how many channels of each group are kept, and at how many bits each layer runs."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from automl.core.errors import PolicyError
from automl.core.graph import ModelGraph


@dataclass(frozen=True, slots=True)
class BitWidths:
    """Bits of one layer's weights and activations; 32 is float."""

    weight: int = 32
    activation: int = 32


@dataclass(frozen=True, slots=True)
class CompressionPolicy:
    """Integers only, so that equal networks are equal policies."""

    channels: Mapping[str, int]
    """Channel group -> channels kept; a group that is absent keeps all."""
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

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal; the key of every cache."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def dense_policy(graph: ModelGraph) -> CompressionPolicy:
    """The policy that removes nothing, every group written out."""
    return CompressionPolicy({group.name: group.channels for group in graph.prunable})


def checked_policy(graph: ModelGraph, policy: CompressionPolicy) -> CompressionPolicy:
    """Holds `policy` against `graph` and writes out the groups that it leaves whole.

    Raises:
        PolicyError: If a group or layer is unknown, cannot be pruned, or a count is out of range.
    """
    groups = {group.name: group for group in graph.groups}
    for name, kept in policy.channels.items():
        if name not in groups:
            raise PolicyError(
                f"Every channel group of a policy must be in the model, but {name!r} is not. "
                "List the groups with `automl describe MODEL --json`."
            )
        group = groups[name]
        if not 1 <= kept <= group.channels:
            raise PolicyError(f"A policy keeps 1 to {group.channels} channels of {name!r}, but it says {kept}.")
        if group.reason is not None and kept != group.channels:
            raise PolicyError(
                f"{name!r} must keep all its {group.channels} channels ({group.reason}), but the policy says {kept}."
            )
    layers = {layer.name for layer in graph.layers}
    unknown = sorted(set(policy.bits) - layers)
    if unknown:
        raise PolicyError(f"Every layer with bit-widths must be in the model, but {unknown[0]!r} is not.")
    kept_by_group = {g.name: int(policy.channels.get(g.name, g.channels)) for g in graph.prunable}
    return CompressionPolicy(kept_by_group, dict(policy.bits))
