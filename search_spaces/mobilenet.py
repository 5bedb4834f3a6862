"""AMC's released channel lists for MobileNets (He et al. 2018), as policies."""

from collections.abc import Sequence

from automl.core.errors import PolicyError
from automl.core.graph import ModelGraph
from automl.core.policy import CompressionPolicy, checked_policy
from search_spaces.widths import policy_of_widths


def amc_policy(graph: ModelGraph, channels: Sequence[int]) -> CompressionPolicy:
    """The policy of an AMC list: the input's channels, then the width of each convolution that is not depthwise.

    Args:
        graph: A MobileNetV1 or V2 at full width.
        channels: For example 15 numbers for MobileNetV1: 3, the stem, 13 pointwise convolutions.

    Raises:
        PolicyError: If the list does not fit the network.
    """
    convolutions = [layer for layer in graph.layers if layer.kind == "conv"]
    if len(channels) != len(convolutions) + 1:
        raise PolicyError(
            f"A channel list for this model has {len(convolutions) + 1} numbers (the input, then one for each "
            f"convolution that is not depthwise), but got {len(channels)}. Check that MODEL is the list's network."
        )
    if channels[0] != graph.input_shape[0]:
        raise PolicyError(f"The list starts with {channels[0]} input channels; the model has {graph.input_shape[0]}.")
    widths = {layer.name: width for layer, width in zip(convolutions, channels[1:], strict=True)}
    return checked_policy(graph, policy_of_widths(graph, widths))
