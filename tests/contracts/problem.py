"""Search problems with a known optimum: blocks that cost the same and do not matter the same.

In the separable one the divergence is a sum over the blocks; in the chained one each block also makes its neighbour's
loss worse. The sensitivity table that searchers are given is wrong by a factor per block, as real ones are.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from automl.core.budget import Budget
from automl.core.evaluation import Evaluation, Evaluator
from automl.core.graph import ChannelGroup, Extent, Layer, ModelGraph, TensorShape
from automl.core.knob import Knob
from automl.core.policy import CompressionPolicy, dense_policy
from automl.core.problem import Problem
from automl.core.projection import Projection
from automl.core.sensitivity import SensitivityTable
from automl.costs.model import AnalyticCostModel
from automl.search.solver import Solver

CHANNELS = 32
MULTIPLE = 4
SENSITIVITY = {f"block{i}": value for i, value in enumerate((8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.12, 0.06))}
BUDGET = 0.5
TABLE_FACTORS = (0.3, 2.5, 0.4, 3.0, 0.35, 2.0, 3.5, 0.5)
"""What the sensitivity table says of each block, over the truth."""
WIDTHS = tuple(range(MULTIPLE, CHANNELS + 1, MULTIPLE))


@dataclass(frozen=True)
class Blocks:
    """What the blocks lose."""

    sensitivity: Mapping[str, float]
    """Block -> nats at no channel, in the order of the network."""
    factors: tuple[float, ...]
    """What the table says of each block, over the truth."""


EIGHT = Blocks(SENSITIVITY, TABLE_FACTORS)
SIXTEEN = Blocks(
    # Up to 130 times as much as another, in no order.
    {f"block{i:02d}": 8.0 * (0.06 / 8.0) ** (i * 7 % 16 / 15) for i in range(16)},
    # Four times too much at the front, four times too little at the back, and in between in between.
    tuple(math.exp(1.3 * math.cos(math.pi * i / 15)) for i in range(16)),
)
"""Too many for luck; and where the table is wrong can be seen."""


def block_loss(name: str, kept: int, blocks: Blocks = EIGHT) -> float:
    """What one block adds to the divergence."""
    return blocks.sensitivity[name] * (1 - kept / CHANNELS) ** 2


@dataclass
class SeparableEvaluator:
    """Divergence: sum over blocks of sensitivity x (share removed)^2. Keeps what it was asked."""

    chained: float = 0.0
    """Weight of the geometric mean of neighbouring blocks' losses, which is added."""
    asked: list[CompressionPolicy] = field(default_factory=list)
    blocks: Blocks = EIGHT

    def __call__(self, policy: CompressionPolicy) -> Evaluation:
        self.asked.append(policy)
        losses = np.array([block_loss(name, policy.channels[name], self.blocks) for name in self.blocks.sensitivity])
        divergence = float(losses.sum() + self.chained * np.sqrt(losses[1:] * losses[:-1]).sum())
        accuracy = 1 / (1 + divergence)
        cost = AnalyticCostModel(separable_graph(self.blocks))(policy)
        return Evaluation(policy, cost, divergence, accuracy, (accuracy / 2, 1.0), images=100, seconds=0.01)


def separable_graph(blocks: Blocks = EIGHT) -> ModelGraph:
    """Blocks of two 1x1 convolutions, 4 -> 32 -> 4, on a 1x1 map: 2 * 4 * 32 = 256 MACs each."""
    layers: list[Layer] = []
    tensors: list[TensorShape] = []
    groups: list[ChannelGroup] = []
    for name in blocks.sensitivity:
        wide, narrow = Extent(0, ((name, 1),)), Extent(4)
        for suffix, outputs, inputs in (("", wide, narrow), (".out", narrow, wide)):
            layers.append(_pointwise(name + suffix, outputs, inputs))
            tensors.append(TensorShape(f"{name}{suffix}.weight", (outputs, inputs), learned=True, value_bytes=4))
        groups.append(ChannelGroup(name, CHANNELS, (name,), (f"{name}.out",)))
    return ModelGraph((4, 1, 1), tuple(layers), tuple(groups), tuple(tensors))


def separable_problem(evaluate: Evaluator, blocks: Blocks = EIGHT, share: float = BUDGET) -> Problem:
    """At most a share of the MACs, half of them if not given."""
    graph = separable_graph(blocks)
    cost_model = AnalyticCostModel(graph)
    dense = cost_model(dense_policy(graph))
    budget = Budget.parse(f"{share}flops")
    knobs = tuple(Knob(group.name, "channels", WIDTHS) for group in graph.prunable)
    projection = Projection(knobs, cost_model, budget, dense)
    table = wrong_table(blocks)
    solver = Solver(knobs, table, cost_model, budget, dense)
    return Problem(graph, knobs, cost_model, dense, budget, projection, table, solver.solve, evaluate)


def wrong_table(blocks: Blocks = EIGHT) -> SensitivityTable:
    """The true losses times the blocks' factors."""
    losses = [
        tuple(factor * block_loss(name, kept, blocks) for kept in WIDTHS)
        for name, factor in zip(blocks.sensitivity, blocks.factors, strict=True)
    ]
    return SensitivityTable(tuple(blocks.sensitivity), (WIDTHS,) * len(losses), tuple(losses))


def least_divergence(chained: float = 0.0, blocks: Blocks = EIGHT, share: float = BUDGET) -> float:
    """The optimum, by dynamic programming over steps of `MULTIPLE` channels; independent of costs and projection."""
    steps = CHANNELS // MULTIPLE
    names = list(blocks.sensitivity)
    capacity = int(share * steps * len(names))  # each step of each block costs the same
    least = np.full((capacity + 1, len(WIDTHS)), np.inf)  # [steps spent, width of the last block]
    for place, name in enumerate(names):
        extended = np.full_like(least, np.inf)
        for index, kept in enumerate(WIDTHS):
            own, spent = block_loss(name, kept, blocks), index + 1
            if place == 0:
                extended[spent, index] = own
                continue
            before = names[place - 1]
            pair = [chained * np.sqrt(own * block_loss(before, width, blocks)) for width in WIDTHS]
            extended[spent:, index] = (least[: capacity + 1 - spent] + np.array(pair)).min(axis=1) + own
        least = extended
    return float(least.min())


def _pointwise(name: str, outputs: Extent, inputs: Extent) -> Layer:
    return Layer(name, "conv", outputs, inputs, inputs, (1, 1), (1, 1), (1, 1), positions=1)
