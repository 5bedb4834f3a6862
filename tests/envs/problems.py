"""A problem with what an environment must mind: a branch that takes others along when it is dropped."""

from automl.core.budget import Budget
from automl.core.evaluation import Evaluation
from automl.core.knob import Knob
from automl.core.policy import CompressionPolicy, dense_policy
from automl.core.problem import Problem
from automl.core.projection import Projection
from automl.core.sensitivity import SensitivityTable
from automl.costs.model import AnalyticCostModel
from automl.search.solver import Solver
from tests.branched import branched_graph

CHOICES = {"s": tuple(range(1, 17)), "a": tuple(range(1, 9)), "b": tuple(range(9))}


def branched_problem(budget: str = "0.5flops") -> Problem:
    """The bottleneck branch, whose first group goes with the second; each group loses as much as it removes."""
    graph = branched_graph()
    cost_model = AnalyticCostModel(graph)
    dense = cost_model(dense_policy(graph))
    limits = Budget.parse(budget)
    knobs = tuple(Knob(name, "channels", choices) for name, choices in CHOICES.items())
    losses = tuple(tuple(1.0 - kept / choices[-1] for kept in choices) for choices in CHOICES.values())
    table = SensitivityTable(tuple(CHOICES), tuple(CHOICES.values()), losses)

    def evaluate(policy: CompressionPolicy) -> Evaluation:
        divergence = table.loss(policy.channels)
        return Evaluation(policy, cost_model(policy), divergence, 0.5, (0.4, 0.6), images=100, seconds=0.0)

    solver = Solver(knobs, table, cost_model, limits, dense)
    projection = Projection(knobs, cost_model, limits, dense)
    return Problem(graph, knobs, cost_model, dense, limits, projection, table, solver.solve, evaluate)
