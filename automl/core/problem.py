"""What every searcher receives, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from automl.core.budget import Budget
from automl.core.cost import Cost, CostModel
from automl.core.evaluation import Evaluator
from automl.core.graph import ModelGraph
from automl.core.knob import Knob
from automl.core.policy import CompressionPolicy
from automl.core.projection import Projection


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
    evaluate: Evaluator

    def feasible(self, ratios: Sequence[float]) -> CompressionPolicy:
        """The feasible policy nearest to `ratios`.

        Args:
            ratios: Keep ratio in [0, 1] for each knob.
        """
        full = np.array([knob.choices[-1] for knob in self.knobs], dtype=np.float64)
        widths = self.projection(np.asarray(ratios, dtype=np.float64) * full)
        return CompressionPolicy({knob.target: int(width) for knob, width in zip(self.knobs, widths, strict=True)})
