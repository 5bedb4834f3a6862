"""One decision of the search, and policies as one value per knob."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from automl.core.bits import BitWidths
from automl.core.policy import CompressionPolicy

KnobKind = Literal["channels", "weight_bits", "input_bits"]
_SUFFIX = {"channels": "", "weight_bits": ":weight", "input_bits": ":input"}


@dataclass(frozen=True, slots=True)
class Knob:
    """An ordered set of values for one channel group, for one layer's weights, or for what layers read."""

    target: str
    """Name of the channel group, or of the layer."""
    kind: KnobKind
    choices: tuple[int, ...]
    """Values allowed, ascending: channels, of which 0 drops the target's branch and the last one leaves it untouched;
    or bits."""
    tied: tuple[str, ...] = ()
    """Layers that share the value with the target."""

    @property
    def name(self) -> str:
        """Unlike any other knob's."""
        return self.target + _SUFFIX[self.kind]


def policy_of(knobs: Sequence[Knob], values: Sequence[int]) -> CompressionPolicy:
    """The policy whose knobs have these values."""
    channels: dict[str, int] = {}
    weights: dict[str, int] = {}
    inputs: dict[str, int] = {}
    for knob, value in zip(knobs, values, strict=True):
        match knob.kind:
            case "channels":
                channels[knob.target] = int(value)
            case "weight_bits":
                weights[knob.target] = int(value)
            case "input_bits":
                inputs.update(dict.fromkeys((knob.target, *knob.tied), int(value)))
    return CompressionPolicy(channels, {layer: BitWidths(bits, inputs[layer]) for layer, bits in weights.items()})


def values_of(knobs: Sequence[Knob], policy: CompressionPolicy) -> dict[str, int]:
    """Knob -> the policy's value; layers without bit-widths are left out, because float, or gone with their branch."""
    values = {}
    for knob in knobs:
        if knob.kind == "channels":
            values[knob.name] = policy.channels[knob.target]
            continue
        found = [policy.bits[layer] for layer in (knob.target, *knob.tied) if layer in policy.bits]
        if found:
            values[knob.name] = found[0].weight if knob.kind == "weight_bits" else found[0].activation
    return values
