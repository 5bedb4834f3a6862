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
    """Milliseconds on one device, as its profile predicts them; None where there is no profile."""


@dataclass(frozen=True, slots=True, eq=False)
class BitCosts:
    """What networks with bit-widths cost: forms of the widths, and for each layer a product with its bits.

    A layer adds `values outputs inputs` times its weights' stored bits / 8 to the bytes, and
    `macs outputs inputs` times weight bits times activation bits to the BOPs.
    """

    forms: tuple[QuadraticForm, ...]
    """What bits do not change of MACs, parameters, bytes and BOPs, and of milliseconds where a device is known."""
    layers: tuple[str, ...]
    """Those that have bits."""
    outputs: NDArray[np.float64]
    """Shape `(1 + groups, layers)`: output channels that no policy removes, then those per kept channel."""
    inputs: NDArray[np.float64]
    """Shape `(1 + groups, layers)`: the same for the inputs of one filter."""
    values: NDArray[np.float64]
    """Shape `(layers,)`: weights per output and input, which is the kernel's area."""
    macs: NDArray[np.float64]
    """Shape `(layers,)`: multiply-adds per output and input."""


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

    @property
    def bit_costs(self) -> BitCosts | None:
        """The same for networks with bit-widths; None where the graph does not say which layers can have them."""
        ...

    def __call__(self, policy: CompressionPolicy) -> Cost:
        """The cost of one policy."""
        ...

    def table(self, widths: NDArray[np.int64], bits: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Costs of many policies at once.

        Args:
            widths: Shape `(policies, groups)`: channels kept, in the order of `graph.prunable`.
            bits: Shape `(policies, layers, 2)`: bits of weights and inputs, in the order of `bit_costs.layers`; None
                for float networks.

        Returns:
            Shape `(policies, 4)`: MACs, parameters, bytes, BOPs, in the order of `budget.METRICS`; or `(policies, 5)`,
            with milliseconds, where a device is known.
        """
        ...
