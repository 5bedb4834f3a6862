"""The search space: an ordered set of widths for every channel group, and of bits for every layer where asked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from automl.core.bits import BitChoices
from automl.core.graph import ModelGraph
from automl.core.knob import Knob, policy_of
from automl.core.policy import CompressionPolicy, with_dead_groups
from search_spaces.bit_widths import bit_knobs
from search_spaces.channels import channel_knobs
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
        sizes = {knob.name: len(knob.choices) for knob in self.knobs}
        for group in self.graph.prunable:
            if group.drops:  # they have no choice of their own where the branch is dropped
                inner = math.prod(sizes.pop(name) for name in group.drops)
                sizes[group.name] = (sizes[group.name] - 1) * inner + 1
        return sum(math.log10(size) for size in sizes.values())

    @property
    def smallest(self) -> CompressionPolicy:
        """The policy that removes the most: every branch that may go, and of the others all but the least."""
        return self._policy({knob.name: knob.choices[0] for knob in self.knobs})

    @property
    def narrowest(self) -> CompressionPolicy:
        """The policy that removes the most without dropping a branch; budgets must leave room for it."""
        return self._policy({knob.name: next(value for value in knob.choices if value) for knob in self.knobs})

    def sample(self, generator: np.random.Generator) -> CompressionPolicy:
        """A policy drawn uniformly from every knob's choices; what only dropped branches read goes with them."""
        return self._policy({k.name: int(generator.choice(k.choices)) for k in self.knobs})

    def _policy(self, values: Mapping[str, int]) -> CompressionPolicy:
        policy = policy_of(self.knobs, [values[knob.name] for knob in self.knobs])
        return CompressionPolicy(with_dead_groups(self.graph, policy.channels), policy.bits)


def channel_space(graph: ModelGraph, rule: WidthRule) -> SearchSpace:
    """One knob per prunable group of `graph`, with the widths that `rule` allows."""
    return SearchSpace(channel_knobs(graph, rule), graph)


def joint_space(graph: ModelGraph, rule: WidthRule, choices: BitChoices, ends: BitChoices) -> SearchSpace:
    """Widths as `channel_space` has them, and the bit-widths of `bit_widths.bit_knobs`."""
    return SearchSpace((*channel_knobs(graph, rule), *bit_knobs(graph, choices, ends)), graph)
