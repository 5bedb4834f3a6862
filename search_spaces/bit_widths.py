"""The bit-widths that each layer may take."""

from automl.core.bits import BitChoices
from automl.core.graph import ModelGraph
from automl.core.knob import Knob


def bit_knobs(graph: ModelGraph, choices: BitChoices, ends: BitChoices) -> tuple[Knob, ...]:
    """One knob for the weights of each layer, then one for each set of layers that read the same activations.

    Args:
        graph: Says where bit-widths can be had.
        choices: What layers may have.
        ends: What the first and the last layer get instead. Inputs that one of them shares with other layers are its.
    """
    if graph.quantizable is None:
        return ()
    first_and_last = set(graph.quantizable.ends)
    weights = [
        Knob(name, "weight_bits", (ends if name in first_and_last else choices).weights)
        for name in graph.quantizable.layers
    ]
    inputs = [
        Knob(layers[0], "input_bits", (choices if first_and_last.isdisjoint(layers) else ends).activations, layers[1:])
        for layers in graph.quantizable.inputs
    ]
    return (*weights, *inputs)
