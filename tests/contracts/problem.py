"""A search problem with a known optimum: eight blocks that cost the same and do not matter the same."""

from dataclasses import dataclass, field

import numpy as np

from automl.core.budget import Budget
from automl.core.evaluation import Evaluation, Evaluator
from automl.core.graph import ChannelGroup, Extent, Layer, ModelGraph, TensorShape
from automl.core.knob import Knob
from automl.core.policy import CompressionPolicy, dense_policy
from automl.core.problem import Problem
from automl.core.projection import Projection
from automl.costs.model import AnalyticCostModel

CHANNELS = 32
MULTIPLE = 4
SENSITIVITY = {f"block{i}": value for i, value in enumerate((8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.12, 0.06))}
BUDGET = 0.5


@dataclass
class SeparableEvaluator:
    """Divergence: sum over blocks of sensitivity x (share removed)^2. Keeps what it was asked."""

    asked: list[CompressionPolicy] = field(default_factory=list)

    def __call__(self, policy: CompressionPolicy) -> Evaluation:
        self.asked.append(policy)
        removed = {name: 1 - policy.channels[name] / CHANNELS for name in SENSITIVITY}
        divergence = sum(SENSITIVITY[name] * share**2 for name, share in removed.items())
        accuracy = 1 / (1 + divergence)
        cost = AnalyticCostModel(separable_graph())(policy)
        return Evaluation(policy, cost, divergence, accuracy, (accuracy / 2, 1.0), images=100, seconds=0.01)


def separable_graph() -> ModelGraph:
    """Eight blocks of two 1x1 convolutions, 4 -> 32 -> 4, on a 1x1 map: 2 * 4 * 32 = 256 MACs each."""
    layers: list[Layer] = []
    tensors: list[TensorShape] = []
    groups: list[ChannelGroup] = []
    for name in SENSITIVITY:
        wide, narrow = Extent(0, ((name, 1),)), Extent(4)
        for suffix, outputs, inputs in (("", wide, narrow), (".out", narrow, wide)):
            layers.append(_pointwise(name + suffix, outputs, inputs))
            tensors.append(TensorShape(f"{name}{suffix}.weight", (outputs, inputs), learned=True, value_bytes=4))
        groups.append(ChannelGroup(name, CHANNELS, (name,), (f"{name}.out",)))
    return ModelGraph((4, 1, 1), tuple(layers), tuple(groups), tuple(tensors))


def separable_problem(evaluate: Evaluator) -> Problem:
    """At most half of the MACs."""
    graph = separable_graph()
    cost_model = AnalyticCostModel(graph)
    dense = cost_model(dense_policy(graph))
    budget = Budget.parse(f"{BUDGET}flops")
    widths = tuple(range(MULTIPLE, CHANNELS + 1, MULTIPLE))
    knobs = tuple(Knob(group.name, "channels", widths) for group in graph.prunable)
    projection = Projection([knob.choices for knob in knobs], cost_model, budget, dense)
    return Problem(graph, knobs, cost_model, dense, budget, projection, evaluate)


def least_divergence() -> float:
    """The optimum, by dynamic programming over steps of `MULTIPLE` channels; independent of costs and projection."""
    steps = CHANNELS // MULTIPLE
    capacity = int(BUDGET * steps * len(SENSITIVITY))  # each step of each block costs the same
    least = np.full(capacity + 1, np.inf)
    least[0] = 0.0
    for sensitivity in SENSITIVITY.values():
        extended = np.full_like(least, np.inf)
        for kept in range(1, steps + 1):
            loss = sensitivity * (1 - kept / steps) ** 2
            extended[kept:] = np.minimum(extended[kept:], least[: capacity + 1 - kept] + loss)
        least = extended
    return float(least.min())


def _pointwise(name: str, outputs: Extent, inputs: Extent) -> Layer:
    return Layer(name, "conv", outputs, inputs, inputs, (1, 1), (1, 1), (1, 1), positions=1)
