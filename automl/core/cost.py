"""What one network costs."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from automl.core.graph import ModelGraph
from automl.core.policy import CompressionPolicy
from automl.core.quadratic import QuadraticForm


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost per image (MACs, BOPs) and of storage."""

    macs: int
    """Multiply-adds of convolution and linear layers; one multiply-add counts 1."""
    params: int
    """Learned values: weights, biases, batch-norm scales and shifts."""
    size_bytes: int
    """Bytes of parameters and buffers, and of the structure of the exported file, which does not compress."""
    bops: int
    """Sum over layers of MACs x weight bits x activation bits."""
    latency_ms: float | None = None
    """Not measured yet where None."""


class CostModel(Protocol):
    """Cost as a function of the policy, without touching the network."""

    @property
    def graph(self) -> ModelGraph:
        """The graph whose policies this prices."""
        ...

    @property
    def forms(self) -> tuple[QuadraticForm, ...]:
        """The columns of `table` as functions of the widths, in the order of `budget.METRICS`."""
        ...

    def __call__(self, policy: CompressionPolicy) -> Cost:
        """The cost of one policy."""
        ...

    def table(self, widths: NDArray[np.int64]) -> NDArray[np.float64]:
        """Costs of many policies at once.

        Args:
            widths: Shape `(policies, groups)`: channels kept, in the order of `graph.prunable`.

        Returns:
            Shape `(policies, 4)`: MACs, parameters, bytes, BOPs; the order of `budget.METRICS`.
        """
        ...
