"""The search space: an ordered set of widths for every channel group."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from automl.core.graph import ModelGraph
from automl.core.knob import Knob
from automl.core.policy import CompressionPolicy, with_dead_groups
from search_spaces.channels import channel_choices
from search_spaces.rules import WidthRule


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """Every policy that the search may propose, before budgets."""

    knobs: tuple[Knob, ...]
    graph: ModelGraph
    """Says which groups go with a dropped branch."""

    @property
    def log10_size(self) -> float:
        """Decimal logarithm of the number of policies."""
        sizes = {knob.target: len(knob.choices) for knob in self.knobs}
        for group in self.graph.prunable:
            if group.drops:  # they have no choice of their own where the branch is dropped
                inner = math.prod(sizes.pop(name) for name in group.drops)
                sizes[group.name] = (sizes[group.name] - 1) * inner + 1
        return sum(math.log10(size) for size in sizes.values())

    @property
    def smallest(self) -> CompressionPolicy:
        """The policy that removes the most: every branch that may go, and of the others all but the least."""
        return self._policy({knob.target: knob.choices[0] for knob in self.knobs})

    @property
    def narrowest(self) -> CompressionPolicy:
        """The policy that removes the most without dropping a branch; budgets must leave room for it."""
        return self._policy({knob.target: next(width for width in knob.choices if width) for knob in self.knobs})

    def sample(self, generator: np.random.Generator) -> CompressionPolicy:
        """A policy drawn uniformly from every knob's choices; what only dropped branches read goes with them."""
        return self._policy({k.target: int(generator.choice(k.choices)) for k in self.knobs})

    def _policy(self, channels: Mapping[str, int]) -> CompressionPolicy:
        return CompressionPolicy(with_dead_groups(self.graph, channels))


def channel_space(graph: ModelGraph, rule: WidthRule) -> SearchSpace:
    """One knob per prunable group of `graph`, with the widths that `rule` allows."""
    knobs = [Knob(g.name, "channels", channel_choices(g.channels, rule, droppable=g.droppable)) for g in graph.prunable]
    return SearchSpace(tuple(knobs), graph)
