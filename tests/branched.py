"""A network with one bottleneck branch, worked out by hand, without torch."""

from automl.core.graph import ChannelGroup, Extent, Layer, ModelGraph, TensorShape


def branched_graph() -> ModelGraph:
    """Stem 3 -> s (16); branch 1x1 s -> a (8), 3x3 a -> b (8), 1x1 b -> s, added to the stem; linear s -> 10."""
    s, a, b = (Extent(0, ((name, 1),)) for name in "sab")
    kernels = {"s": (3, 3), "a": (1, 1), "b": (3, 3), "end": (1, 1)}
    ends = {"s": (s, Extent(3)), "a": (a, s), "b": (b, a), "end": (s, b)}
    convolutions = [
        Layer(name, "conv", outputs, inputs, inputs, kernels[name], (1, 1), (4, 4), 16)
        for name, (outputs, inputs) in ends.items()
    ]
    weights = [
        TensorShape(f"{name}.weight", (*ends[name], Extent(height), Extent(width)), True, 4)
        for name, (height, width) in kernels.items()
    ]
    return ModelGraph(
        input_shape=(3, 4, 4),
        layers=(*convolutions, Layer("fc", "linear", Extent(10), s, s, (1, 1), (1, 1), (1, 1), 1)),
        groups=(
            ChannelGroup("s", 16, ("s", "end"), ("a", "fc")),
            ChannelGroup("a", 8, ("a",), ("b",)),
            ChannelGroup("b", 8, ("b",), ("end",), droppable=True, drops=("a",)),
            ChannelGroup("fc", 10, ("fc",), (), "class logits"),
        ),
        tensors=(*weights, TensorShape("fc.weight", (Extent(10), s), True, 4)),
    )
