"""What a search can reach, before it starts."""

import numpy as np

from automl.core.graph import ModelGraph
from automl.core.policy import CompressionPolicy
from automl.costs.model import AnalyticCostModel
from automl.report.console import Coverage
from search_spaces.rules import default_rule
from search_spaces.space import SearchSpace, channel_space


def coverage(graph: ModelGraph, cost_model: AnalyticCostModel, space: SearchSpace | None = None) -> Coverage:
    """Shares of the MACs that can be pruned and that always stay; `space` defaults to the rule of the graph."""
    space = space or channel_space(graph, default_rule(graph))
    full = {group.name: group.channels for group in graph.groups}
    macs = np.array([layer.macs(full) for layer in graph.layers], dtype=np.int64)
    touched = np.array([bool(layer.outputs.terms or layer.inputs.terms) for layer in graph.layers], dtype=bool)
    total = max(1, int(macs.sum()))
    return Coverage(
        prunable_macs_fraction=int(macs[touched].sum()) / total,
        least_macs_fraction=cost_model(CompressionPolicy(dict(space.narrowest.channels))).macs / total,
        whole=tuple((group.name, group.reason) for group in graph.groups if group.reason is not None),
        unfollowed=graph.unfollowed,
    )
