"""What every searcher receives, and nothing else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.core.budget import Budget
from automl.core.cost import Cost, CostModel
from automl.core.evaluation import Evaluator
from automl.core.graph import ModelGraph
from automl.core.knob import Knob
from automl.core.policy import CompressionPolicy
from automl.core.projection import Projection
from automl.core.sensitivity import SensitivityTable

Decoder = Callable[[NDArray[np.float64]], NDArray[np.int64]]
"""Logarithms of the multipliers of each group's losses -> the widths that lose least within the budget."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Find the policy with the lowest divergence among those within the budget."""

    graph: ModelGraph
    knobs: tuple[Knob, ...]
    """One per prunable group, in the order of `graph.prunable`."""
    cost_model: CostModel
    dense: Cost
    budget: Budget
    projection: Projection
    sensitivity: SensitivityTable
    """What each width of each knob loses, about."""
    decode: Decoder
    """The exact solver over `sensitivity`."""
    evaluate: Evaluator

    def feasible(self, ratios: Sequence[float]) -> CompressionPolicy:
        """The feasible policy nearest to `ratios`.

        Args:
            ratios: Keep ratio in [0, 1] for each knob; 0 itself drops a branch that may go.
        """
        full = np.array([knob.choices[-1] for knob in self.knobs], dtype=np.float64)
        return self.policy(self.projection(np.asarray(ratios, dtype=np.float64) * full))

    def solved(self, log_multipliers: Sequence[float]) -> CompressionPolicy:
        """The solver's policy when each group's losses are multiplied; all zeros give its plain answer.

        Args:
            log_multipliers: Natural logarithm of the multiplier of each knob.
        """
        return self.policy(self.decode(np.asarray(log_multipliers, dtype=np.float64)))

    def policy(self, widths: NDArray[np.int64]) -> CompressionPolicy:
        """The policy that keeps `widths[k]` channels of knob k's group."""
        return CompressionPolicy({knob.target: int(width) for knob, width in zip(self.knobs, widths, strict=True)})
