"""What one policy is worth, as measured."""

from collections.abc import Callable
from dataclasses import dataclass

from automl.core.cost import Cost
from automl.core.policy import CompressionPolicy


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluated policy."""

    policy: CompressionPolicy
    cost: Cost
    divergence: float
    """Mean KL divergence from the dense network's class probabilities, in nats; lower is better."""
    accuracy: float
    """Share of right answers; without labels, of answers that agree with the dense network. In [0, 1]."""
    accuracy_ci95: tuple[float, float]
    """Wilson interval of `accuracy`."""
    images: int
    """Images that `accuracy` and `divergence` were measured on."""
    seconds: float
    """Wall time of the evaluation; 0 when it came from the cache."""


Evaluator = Callable[[CompressionPolicy], Evaluation]
