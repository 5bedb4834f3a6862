"""From the output width of each layer to the channels kept of each group."""

from collections.abc import Mapping

from automl.core.errors import PolicyError
from automl.core.graph import ModelGraph
from automl.core.policy import CompressionPolicy


def policy_of_widths(graph: ModelGraph, widths: Mapping[str, int]) -> CompressionPolicy:
    """The policy that gives each named layer its width.

    Raises:
        PolicyError: If layers that share channels are given different widths, or a layer joins several groups.
    """
    layers = {layer.name: layer for layer in graph.layers}
    kept: dict[str, int] = {}
    for name, width in widths.items():
        outputs = layers[name].outputs
        if outputs.fixed or len(outputs.terms) != 1 or outputs.terms[0][1] != 1:
            if outputs.terms or width != outputs.fixed:
                raise PolicyError(f"The width of {name!r} cannot be set to {width}: its channels are not one group.")
            continue
        group = outputs.terms[0][0]
        if kept.setdefault(group, width) != width:
            raise PolicyError(
                f"Layers that share channels must have one width, but {name!r} says {width} and its group {group!r} "
                f"already has {kept[group]}."
            )
    return CompressionPolicy(kept)
