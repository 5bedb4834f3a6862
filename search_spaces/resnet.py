"""GluonCV's pruned ResNet-v1d networks, published as a JSON of weight shapes, as policies."""

import re
from collections.abc import Mapping, Sequence

from automl.core.errors import PolicyError
from automl.core.graph import ModelGraph
from automl.core.policy import CompressionPolicy, checked_policy
from search_spaces.widths import policy_of_widths

_CONVS_PER_BLOCK = 3
_STEM_LAYERS = ("conv1.0", "conv1.3", "conv1.6")


def gluoncv_policy(graph: ModelGraph, shapes: Mapping[str, Sequence[int]]) -> CompressionPolicy:
    """The policy that gives timm's bottleneck ResNet-d (`timm:resnet50d`) the widths of a GluonCV file.

    Args:
        graph: Graph of the dense network.
        shapes: Parameter name -> shape, such as `resnetv1d_layers2_conv4_weight` -> (out, in, 3, 3).

    Raises:
        PolicyError: If a name or shape does not fit the network.
    """
    widths: dict[str, int] = {}
    for key, shape in shapes.items():
        if key.endswith("_weight") and "_dense" not in key:
            widths[_layer_name(key)] = int(shape[0])
    missing = sorted(set(widths) - {layer.name for layer in graph.layers})
    if missing:
        raise PolicyError(
            f"The file names the layer {missing[0]!r}, which the model does not have. "
            "GluonCV's pruned ResNet50_v1d files fit `timm:resnet50d`."
        )
    return checked_policy(graph, policy_of_widths(graph, widths))


def _layer_name(key: str) -> str:
    """`resnetv1d_layers2_conv4_weight` -> `layer2.1.conv2`: convolutions are numbered through each stage."""
    if match := re.fullmatch(r"resnetv1d_conv([0-2])_weight", key):
        return _STEM_LAYERS[int(match.group(1))]
    if match := re.fullmatch(r"resnetv1d_layers(\d+)_conv(\d+)_weight", key):
        block, conv = divmod(int(match.group(2)), _CONVS_PER_BLOCK)
        return f"layer{match.group(1)}.{block}.conv{conv + 1}"
    if match := re.fullmatch(r"resnetv1d_down(\d+)_conv0_weight", key):
        return f"layer{match.group(1)}.0.downsample.1"
    raise PolicyError(f"A GluonCV pruned ResNet file has keys like 'resnetv1d_layers2_conv4_weight', but got {key!r}.")
