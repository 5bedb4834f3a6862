"""What tracing found in a network: layers, tensors and channel groups, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

LayerKind = Literal["conv", "depthwise", "linear"]


@dataclass(frozen=True, slots=True)
class Extent:
    """The size of one dimension, as a function of the channels kept: `fixed + sum(per_channel * kept)`.

    A concatenation has one term per group; a flattened map counts each channel `height * width` times.
    """

    fixed: int
    """Entries that no policy removes."""
    terms: tuple[tuple[str, int], ...] = ()
    """(channel group, entries per kept channel)."""

    def size(self, kept: Mapping[str, int]) -> int:
        """Entries left when `kept[group]` channels of every group are kept."""
        return self.fixed + sum(kept[group] * entries for group, entries in self.terms)


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution or linear layer, as it ran on the example input."""

    name: str
    """Path in `named_modules()`."""
    kind: LayerKind
    outputs: Extent
    """Output channels."""
    inputs: Extent
    """Input channels."""
    filter_inputs: Extent
    """Input channels that one filter reads: 1 for a depthwise convolution, `inputs / groups` in general."""
    kernel: tuple[int, int]
    """(height, width); (1, 1) for a linear layer."""
    stride: tuple[int, int]
    """(vertical, horizontal); (1, 1) for a linear layer."""
    out_size: tuple[int, int]
    """(height, width) of the output map in the last call; (1, 1) for a linear layer."""
    positions: int
    """Output positions per image, summed over every call of a shared module."""

    def macs(self, kept: Mapping[str, int]) -> int:
        """Multiply-adds per image; the bias adds none."""
        filter_macs = self.filter_inputs.size(kept) * self.kernel[0] * self.kernel[1]
        return self.positions * self.outputs.size(kept) * filter_macs


@dataclass(frozen=True, slots=True)
class TensorShape:
    """One parameter or buffer of the network."""

    name: str
    """Key in `state_dict()`."""
    extents: tuple[Extent, ...]
    """One per dimension; none for a scalar."""
    learned: bool
    """True for a parameter, False for a buffer such as a running mean."""
    value_bytes: int
    """Bytes per value as the network stores it."""

    def values(self, kept: Mapping[str, int]) -> int:
        """Number of values left."""
        count = 1
        for extent in self.extents:
            count *= extent.size(kept)
        return count


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Channels that can only be removed together, from every layer that makes or reads them."""

    name: str
    """Name of the first layer that produces the channels."""
    channels: int
    """Removable channels. In a grouped convolution one stands for the same position in every group."""
    producers: tuple[str, ...]
    """Layers whose outputs are these channels."""
    consumers: tuple[str, ...]
    """Layers that read them."""
    reason: str | None = None
    """Why the group stays whole; None where it can be pruned."""
    droppable: bool = False
    """Whether a policy may remove all channels; the network goes on without the branch."""
    drops: tuple[str, ...] = ()
    """Groups that only this branch reads: they keep 0 channels exactly when this one does."""

    @property
    def prunable(self) -> bool:
        """Whether a policy may remove channels of this group."""
        return self.reason is None


@dataclass(frozen=True, slots=True)
class Quantizable:
    """Where a network can have bit-widths."""

    layers: tuple[str, ...]
    """Layers whose weights and inputs can be quantized, in the order of `ModelGraph.layers`."""
    inputs: tuple[tuple[str, ...], ...]
    """The same layers, those together whose inputs share one bit-width: they read one tensor, or tensors that are added
    or concatenated."""
    ends: tuple[str, ...]
    """Those that read the images or make the logits."""
    folded: tuple[str, ...]
    """Batch norms that go into the layers in front of them."""
    activations: int
    """Tensors that are quantized between the layers."""


@dataclass(frozen=True, slots=True)
class ModelGraph:
    """The layers and channel groups of one network at one input size."""

    input_shape: tuple[int, ...]
    """(channels, height, width) of one image."""
    layers: tuple[Layer, ...]
    """In the order of their first call."""
    groups: tuple[ChannelGroup, ...]
    """Every group, in the order of the first producer; those that stay whole carry the reason."""
    tensors: tuple[TensorShape, ...]
    """Every parameter and buffer, each once."""
    unfollowed: tuple[str, ...] = ()
    """What the trace could not follow, in words."""
    quantizable: Quantizable | None = None
    """Where bit-widths can be had; None where nobody looked."""

    @property
    def prunable(self) -> tuple[ChannelGroup, ...]:
        """The groups that a policy may prune, in the order that every array over groups uses."""
        return tuple(group for group in self.groups if group.prunable)
