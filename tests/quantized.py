"""`tests.tiny.tiny_graph` with bit-widths for each of its layers."""

from dataclasses import replace

from automl.core.bits import BitChoices, first_and_last
from automl.core.graph import ModelGraph, Quantizable
from automl.core.knob import Knob
from search_spaces.rules import WidthRule
from search_spaces.space import joint_space
from tests.tiny import tiny_graph


def quantizable_graph() -> ModelGraph:
    """No two layers share their inputs; the first and the last are `a` and `fc`."""
    layers = ("a", "b", "fc")
    return replace(tiny_graph(), quantizable=Quantizable(layers, tuple((name,) for name in layers), ("a", "fc"), (), 4))


def joint_knobs(bits: str = "4,8") -> tuple[Knob, ...]:
    """Widths in multiples of 4, and bits for `b`; the ends have 8."""
    return joint_space(quantizable_graph(), WidthRule(4), BitChoices.parse(bits), first_and_last(8)).knobs
