"""What every searcher receives, and nothing else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.core.budget import Budget
from automl.core.cost import Cost, CostModel
from automl.core.evaluation import Evaluator
from automl.core.graph import ModelGraph
from automl.core.knob import Knob, policy_of, values_of
from automl.core.policy import CompressionPolicy
from automl.core.projection import Projection
from automl.core.sensitivity import SensitivityTable

LARGEST_LOG = 2.0
"""Searchers draw log-multipliers between minus this and this: a seventh to seven times what the table says."""

Decoder = Callable[[NDArray[np.float64]], NDArray[np.int64]]
"""Logarithms of the multipliers of each knob's losses -> the values that lose least within the budget."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Find the policy with the lowest divergence among those within the budget."""

    graph: ModelGraph
    knobs: tuple[Knob, ...]
    """One per prunable group, in the order of `graph.prunable`; then those of the bits, if they are searched."""
    cost_model: CostModel
    dense: Cost
    budget: Budget
    projection: Projection
    sensitivity: SensitivityTable
    """What each choice of each knob loses, about."""
    decode: Decoder
    """The exact solver over `sensitivity`."""
    evaluate: Evaluator

    def feasible(self, ratios: Sequence[float]) -> CompressionPolicy:
        """The feasible policy nearest to `ratios`.

        Args:
            ratios: For each knob a number in [0, 1]: the keep ratio, of which 0 itself drops a branch that may go; or
                the place between the fewest and the most bits.
        """
        return policy_of(self.knobs, self.projection(_scaled(self.knobs, ratios)).tolist())

    def solved(self, log_multipliers: Sequence[float]) -> CompressionPolicy:
        """The solver's policy when each knob's losses are multiplied; all zeros give its plain answer.

        Args:
            log_multipliers: Natural logarithm of the multiplier of each knob.
        """
        return policy_of(self.knobs, self.decode(np.asarray(log_multipliers, dtype=np.float64)).tolist())

    def ratios(self, policy: CompressionPolicy) -> list[float]:
        """What `feasible` makes the policy of, where it meets the budget and uses it; one number in [0, 1] per knob."""
        least, most = _ends(self.knobs)
        return [float(each) for each in (self.values(policy) - least) / np.maximum(most - least, 1.0)]

    def values(self, policy: CompressionPolicy) -> NDArray[np.int64]:
        """The policy's value of each knob, shape `(knobs,)`; the most bits for layers that went with their branch."""
        found = values_of(self.knobs, policy)
        return np.array([found.get(knob.name, knob.choices[-1]) for knob in self.knobs], dtype=np.int64)


def _scaled(knobs: Sequence[Knob], ratios: Sequence[float]) -> NDArray[np.float64]:
    least, most = _ends(knobs)
    return np.asarray(least + np.asarray(ratios, dtype=np.float64) * (most - least), dtype=np.float64)


def _ends(knobs: Sequence[Knob]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the ratios 0 and 1 stand for."""
    least = np.array([0 if knob.kind == "channels" else knob.choices[0] for knob in knobs], dtype=np.float64)
    return least, np.array([knob.choices[-1] for knob in knobs], dtype=np.float64)
