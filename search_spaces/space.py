"""The search space: an ordered set of widths for every channel group."""

import math
from dataclasses import dataclass

import numpy as np

from automl.core.graph import ModelGraph
from automl.core.knob import Knob
from automl.core.policy import CompressionPolicy
from search_spaces.channels import channel_choices
from search_spaces.rules import WidthRule


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """Every policy that the search may propose, before budgets."""

    knobs: tuple[Knob, ...]

    @property
    def log10_size(self) -> float:
        """Decimal logarithm of the number of policies."""
        return sum(math.log10(len(knob.choices)) for knob in self.knobs)

    @property
    def smallest(self) -> CompressionPolicy:
        """The policy that removes the most."""
        return CompressionPolicy({knob.target: knob.choices[0] for knob in self.knobs})

    def sample(self, generator: np.random.Generator) -> CompressionPolicy:
        """A policy drawn uniformly from every knob's choices."""
        return CompressionPolicy({k.target: int(generator.choice(k.choices)) for k in self.knobs})


def channel_space(graph: ModelGraph, rule: WidthRule) -> SearchSpace:
    """One knob per prunable group of `graph`, with the widths that `rule` allows."""
    knobs = [Knob(g.name, "channels", channel_choices(g.channels, rule)) for g in graph.prunable]
    return SearchSpace(tuple(knobs))
