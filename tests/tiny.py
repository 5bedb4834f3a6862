"""A three-layer network worked out by hand, without torch."""

from automl.core.budget import Budget
from automl.core.graph import ChannelGroup, Extent, Layer, ModelGraph, TensorShape
from automl.core.knob import Knob
from automl.core.policy import dense_policy
from automl.core.projection import Projection
from automl.costs.model import AnalyticCostModel


def tiny_graph() -> ModelGraph:
    """3x3 conv 3 -> a (16), 3x3 conv a -> b (32) with bias, linear b -> 10; maps of 4x4; no batch norm."""
    a, b = Extent(0, (("a", 1),)), Extent(0, (("b", 1),))
    return ModelGraph(
        input_shape=(3, 4, 4),
        layers=(
            Layer("a", "conv", a, Extent(3), Extent(3), (3, 3), (1, 1), (4, 4), 16),
            Layer("b", "conv", b, a, a, (3, 3), (1, 1), (4, 4), 16),
            Layer("fc", "linear", Extent(10), b, b, (1, 1), (1, 1), (1, 1), 1),
        ),
        groups=(
            ChannelGroup("a", 16, ("a",), ("b",)),
            ChannelGroup("b", 32, ("b",), ("fc",)),
            ChannelGroup("fc", 10, ("fc",), (), "class logits"),
        ),
        tensors=(
            TensorShape("a.weight", (a, Extent(3), Extent(3), Extent(3)), True, 4),
            TensorShape("b.weight", (b, a, Extent(3), Extent(3)), True, 4),
            TensorShape("b.bias", (b,), True, 4),
            TensorShape("fc.weight", (Extent(10), b), True, 4),
            TensorShape("steps", (), False, 8),
        ),
    )


def tiny_projection(budget: str, multiple: int = 4) -> Projection:
    """The projection of `tiny_graph`, with widths in multiples of `multiple`."""
    graph = tiny_graph()
    cost_model = AnalyticCostModel(graph)
    knobs = [Knob(g.name, "channels", tuple(range(multiple, g.channels + 1, multiple))) for g in graph.prunable]
    return Projection(knobs, cost_model, Budget.parse(budget), cost_model(dense_policy(graph)))
