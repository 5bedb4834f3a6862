"""AMC's channel lists (He et al. 2018), read as policies and written of them."""

from collections.abc import Sequence

from automl.core.errors import PolicyError
from automl.core.graph import Layer, ModelGraph
from automl.core.policy import CompressionPolicy, checked_policy
from search_spaces.widths import policy_of_widths


def amc_policy(graph: ModelGraph, channels: Sequence[int]) -> CompressionPolicy:
    """The policy of an AMC list: the input's channels, then the width of each layer, in order.

    Depthwise convolutions are left out, and the last layer where it is linear: the classes. A list of convolutions
    alone leaves linear layers whole.

    Args:
        graph: The network at full width.
        channels: For example 15 numbers for MobileNetV1: 3, the stem, 13 pointwise convolutions. For VGG-16 they are
            14, 3 and 13 convolutions, or 16 with the two linear layers in front of the classes.

    Raises:
        PolicyError: If the list does not fit the network.
    """
    layers = _listed(graph)
    convolutions = [layer for layer in layers if layer.kind == "conv"]
    if len(channels) == len(convolutions) + 1:
        layers = convolutions
    if len(channels) != len(layers) + 1:
        raise _misfit(len(convolutions), len(layers), len(channels))
    if channels[0] != graph.input_shape[0]:
        raise PolicyError(f"The list starts with {channels[0]} input channels; the model has {graph.input_shape[0]}.")
    widths = {layer.name: width for layer, width in zip(layers, channels[1:], strict=True)}
    return checked_policy(graph, policy_of_widths(graph, widths))


def amc_channels(graph: ModelGraph, policy: CompressionPolicy) -> tuple[int, ...] | None:
    """The list from which `amc_policy` reads the channels of `policy`; bit-widths have no place in it.

    Args:
        graph: The network at full width.
        policy: A policy for it.

    Returns:
        None where no list says it: a branch is dropped, or a layer that is not listed loses channels on its own.
    """
    whole = checked_policy(graph, policy).channels
    kept = {group.name: whole.get(group.name, group.channels) for group in graph.groups}
    channels = (graph.input_shape[0], *(layer.outputs.size(kept) for layer in _listed(graph)))
    try:
        read = amc_policy(graph, channels)
    except PolicyError:  # a layer joins several groups
        return None
    return channels if min(channels) > 0 and read.channels == whole else None


def _listed(graph: ModelGraph) -> list[Layer]:
    classes = graph.layers[-1]
    return [x for x in graph.layers if x.kind == "conv" or (x.kind == "linear" and x is not classes)]


def _misfit(convolutions: int, layers: int, given: int) -> PolicyError:
    linear = layers - convolutions
    more = f", or {layers + 1} with the {linear} linear layers in front of the classes" if linear else ""
    return PolicyError(
        f"A channel list for this model has {convolutions + 1} numbers (the input, then one for each convolution that "
        f"is not depthwise){more}, but got {given}. Check that MODEL is the list's network."
    )
