"""The separable problem with bit-widths: each layer's weights have 4 or 8 bits, and matter as much as their block."""

import itertools
from dataclasses import dataclass, field, replace

import numpy as np

from automl.core.bits import BitChoices, first_and_last
from automl.core.budget import Budget
from automl.core.evaluation import Evaluation
from automl.core.graph import ModelGraph, Quantizable
from automl.core.knob import values_of
from automl.core.policy import CompressionPolicy, dense_policy
from automl.core.problem import Problem
from automl.core.projection import Projection
from automl.core.sensitivity import SensitivityTable
from automl.costs.model import AnalyticCostModel
from automl.search.solver import Solver
from search_spaces.rules import WidthRule
from search_spaces.space import joint_space
from tests.contracts.problem import CHANNELS, MULTIPLE, SENSITIVITY, block_loss, separable_graph

BUDGET = "0.02bops"
"""At 8 bits for weights and inputs a third of the MACs fits, at 4 and 8 two thirds do."""


def joint_graph() -> ModelGraph:
    """Two layers per block; every layer's inputs have 8 bits, its weights 4 or 8."""
    graph = separable_graph()
    names = tuple(layer.name for layer in graph.layers)
    return replace(graph, quantizable=Quantizable(names, tuple((name,) for name in names), (), (), len(names)))


def bit_loss(layer: str, bits: int) -> float:
    """What one layer's weights add to the divergence."""
    return 0.05 * SENSITIVITY[layer.removesuffix(".out")] * (8 - bits) / 4


@dataclass
class JointEvaluator:
    """Divergence: the sum of the widths' and the bits' losses. Keeps what it was asked."""

    asked: list[CompressionPolicy] = field(default_factory=list)

    def __call__(self, policy: CompressionPolicy) -> Evaluation:
        self.asked.append(policy)
        divergence = sum(block_loss(name, kept) for name, kept in policy.channels.items())
        divergence += sum(bit_loss(name, bits.weight) for name, bits in policy.bits.items())
        accuracy = 1 / (1 + divergence)
        cost = AnalyticCostModel(joint_graph())(policy)
        return Evaluation(policy, cost, divergence, accuracy, (accuracy / 2, 1.0), images=100, seconds=0.01)


def joint_problem(evaluate: JointEvaluator) -> Problem:
    """The true table, so that the solver's answer is the optimum."""
    graph = joint_graph()
    cost_model = AnalyticCostModel(graph)
    dense = cost_model(dense_policy(graph))
    budget = Budget.parse(BUDGET)
    knobs = joint_space(graph, WidthRule(4), BitChoices.parse("w4,8a8"), first_and_last(8)).knobs
    rows = []
    for knob in knobs:
        if knob.kind == "channels":
            rows.append(tuple(block_loss(knob.target, kept) for kept in knob.choices))
        else:
            loss = bit_loss if knob.kind == "weight_bits" else lambda layer, bits: 0.0
            rows.append(tuple(loss(knob.target, bits) for bits in knob.choices))
    table = SensitivityTable(tuple(knob.name for knob in knobs), tuple(knob.choices for knob in knobs), tuple(rows))
    solver = Solver(knobs, table, cost_model, budget, dense)
    projection = Projection(knobs, cost_model, budget, dense)
    return Problem(graph, knobs, cost_model, dense, budget, projection, table, solver.solve, evaluate)


def expected(problem: Problem, policy: CompressionPolicy) -> float:
    """What the table says of a policy."""
    return problem.sensitivity.loss(values_of(problem.knobs, policy))


def least_expected(problem: Problem) -> float:
    """The optimum of the table, by dynamic programming; independent of costs, projection and solver."""
    unit = 4 * 4 * 8 * 4  # BOPs of 4 channels of one layer at 4-bit weights
    capacity = int(problem.budget.limits[0].absolute(problem.dense) / unit)
    least = np.zeros(capacity + 1)
    for name in SENSITIVITY:
        extended = np.full_like(least, np.inf)
        for step, first, second in itertools.product(range(1, CHANNELS // MULTIPLE + 1), (1, 2), (1, 2)):
            spent = step * (first + second)
            loss = block_loss(name, step * MULTIPLE) + bit_loss(name, 4 * first) + bit_loss(f"{name}.out", 4 * second)
            extended[spent:] = np.minimum(extended[spent:], least[: capacity + 1 - spent] + loss)
        least = extended
    return float(least.min())
