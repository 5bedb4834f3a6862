"""What an environment tells of the policy that an episode made."""

from typing import Any

from automl.core.evaluation import Evaluation
from automl.core.problem import Problem


def facts(problem: Problem, evaluation: Evaluation) -> dict[str, Any]:
    """The last `info` of an episode; no times, so that equal actions give equal facts."""
    cost = evaluation.cost
    return {
        "channels": dict(evaluation.policy.channels),
        "bits": {layer: (bits.weight, bits.activation) for layer, bits in evaluation.policy.bits.items()},
        "divergence": evaluation.divergence,
        "accuracy": evaluation.accuracy,
        "macs": cost.macs,
        "params": cost.params,
        "size_bytes": cost.size_bytes,
        "bops": cost.bops,
        "used": problem.budget.used(cost, problem.dense),
    }
