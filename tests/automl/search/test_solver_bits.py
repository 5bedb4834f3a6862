from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from automl.core.budget import METRICS, Budget
from automl.core.errors import BudgetError
from automl.core.knob import policy_of
from automl.core.policy import checked_policy, dense_policy
from automl.core.sensitivity import SensitivityTable
from automl.search import solver as solver_module
from automl.search.knapsack import Knapsack
from automl.search.moves import Moves
from tests.automl.search.choices import Choice, joint_chain, joint_concatenation, joint_residual
from tests.automl.search.test_solver import solver_of, strange_multipliers

joint_dropping = partial(joint_residual, droppable=True)
KINDS = [
    pytest.param(joint_chain, id="chain"),
    pytest.param(joint_residual, id="residual"),
    pytest.param(joint_dropping, id="dropping"),
    pytest.param(joint_concatenation, id="concatenation"),
]
BUDGETS = [
    "0.03bops",
    "0.015bops",
    "0.25size",
    "0.4flops",
    "0.5flops,0.25size",
    "0.5flops,0.02bops",
    "0.25size,0.02bops",
]
Kind = Callable[[int], Choice]


def place(choice: Choice, name: str) -> int:
    return choice.table.knobs.index(name)


def knapsack_of(choice: Choice, budget: str) -> Knapsack:
    dense = choice.cost_model(dense_policy(choice.graph))
    return Knapsack.of(choice.knobs, choice.cost_model, Budget.parse(budget), dense)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_nearly_the_least_of_all_widths_and_bits(kind: Kind) -> None:
    above = []
    for seed in range(6):
        choice = kind(seed)
        for budget in BUDGETS:
            values = solver_of(choice, budget).solve(np.zeros(len(choice.knobs)))
            above.append(choice.loss(values) / choice.optimum(budget) - 1)
    # Nearly all are the optimum; a handful of groups and layers leaves single gaps that real networks do not have.
    assert np.mean(above) < 0.015
    assert np.quantile(above, 0.9) < 0.001


@pytest.mark.parametrize("budget", ["0.02bops", "0.2size", "0.5flops,0.02bops"])
def test_many_bits_are_solved_as_well_as_two(budget: str) -> None:
    choice = joint_residual(0, "w2-4a4,8")
    values = solver_of(choice, budget).solve(np.zeros(len(choice.knobs)))
    assert choice.loss(values) < 1.01 * choice.optimum(budget)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("budget", BUDGETS)
def test_every_limit_holds_and_every_policy_is_allowed_whatever_the_multipliers(kind: Kind, budget: str) -> None:
    choice = kind(1)
    solver = solver_of(choice, budget)
    dense = choice.cost_model(dense_policy(choice.graph))
    for log_multipliers in strange_multipliers(len(choice.knobs)):
        values = solver.solve(log_multipliers)
        assert (choice.used(values, budget) <= 1.0).all()
        policy = checked_policy(choice.graph, policy_of(choice.knobs, values.tolist()))
        assert Budget.parse(budget).satisfied_by(choice.cost_model(policy), dense)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("budget", ["0.03bops", "0.25size,0.02bops"])
def test_blocks_of_variables_in_turn_come_near_where_tables_would_be_too_large(
    kind: Kind, budget: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solver_module, "_MOST_ENTRIES", 8)
    for seed in range(4):
        choice = kind(seed)
        values = solver_of(choice, budget).solve(np.zeros(len(choice.knobs)))
        assert (choice.used(values, budget) <= 1.0).all()
        assert choice.loss(values) < 1.5 * choice.optimum(budget)


@pytest.mark.parametrize("kind", KINDS)
def test_a_budget_of_bops_at_one_bit_width_is_one_of_macs(kind: Callable[[int, str], Choice]) -> None:
    choice = kind(2, "4")
    groups = len(choice.graph.prunable)
    table = choice.table
    widths_only = SensitivityTable(table.knobs[:groups], table.choices[:groups], table.losses[:groups])
    values = solver_of(choice, f"{0.4 * 16 / 1024}bops").solve(np.zeros(len(choice.knobs)))
    widths = solver_of(Choice(choice.graph, choice.knobs[:groups], widths_only), "0.4flops").solve(np.zeros(groups))
    assert values.tolist() == [*widths.tolist(), *[4] * (len(choice.knobs) - groups)]


@pytest.mark.parametrize("name", ["b1:weight", "b1:input"])
def test_multipliers_move_bits(name: str) -> None:
    choice = joint_chain(0)
    solver = solver_of(choice, "0.015bops")
    bits = [solver.solve(np.where(np.array(choice.table.knobs) == name, z, 0.0)) for z in (-12.0, 12.0)]
    assert [int(values[place(choice, name)]) for values in bits] == [4, 8]


def test_a_knob_of_inputs_that_layers_share_gives_all_of_them_its_bits() -> None:
    choice = joint_residual(0)
    values = solver_of(choice, "0.015bops").solve(np.where(np.array(choice.table.knobs) == "a1:input", -12.0, 0.0))
    bits = policy_of(choice.knobs, values.tolist()).bits
    assert bits["a1"].activation == bits["head4"].activation == 4


def test_the_bits_of_a_dropped_branch_are_those_that_lose_least() -> None:
    choice = joint_dropping(1)
    light = np.array([-12.0 if name in {"a", "b"} else 0.0 for name in choice.table.knobs])
    values = solver_of(choice, "0.015bops").solve(light)
    assert values[place(choice, "a")] == values[place(choice, "b")] == 0
    of_branch = ["a1:weight", "b2:weight", "b2:input", "s3:weight", "s3:input"]
    assert [int(values[place(choice, name)]) for name in of_branch] == [8] * 5


def test_bits_that_cost_nothing_are_the_most() -> None:
    choice = joint_chain(0)
    values = solver_of(choice, "0.4flops").solve(np.zeros(len(choice.knobs)))
    assert set(values[3:].tolist()) == {8}
    values = solver_of(choice, "0.2size").solve(np.zeros(len(choice.knobs)))
    assert {int(v) for v, k in zip(values, choice.knobs, strict=True) if k.kind == "input_bits"} == {8}


def test_the_whole_network_in_the_most_bits_is_the_answer_where_it_fits() -> None:
    choice = joint_residual(0)
    values = solver_of(choice, "0.1bops").solve(np.zeros(len(choice.knobs)))
    assert values.tolist() == [knob.choices[-1] for knob in choice.knobs]


def test_a_budget_that_the_fewest_bits_do_not_meet_is_refused() -> None:
    with pytest.raises(BudgetError, match="must be reachable"):
        solver_of(joint_chain(0), "0.0001bops")


@pytest.mark.parametrize("kind", KINDS)
def test_costs_are_those_of_the_cost_model_whole_and_one_change_at_a_time(kind: Kind) -> None:
    choice = kind(3)
    budget = "1flops,1params,1size,1bops"
    knapsack = knapsack_of(choice, budget)
    moves = Moves(knapsack, knapsack.losses(choice.table, choice.knobs))
    everything = choice.everything()
    dense = choice.cost_model(dense_policy(choice.graph))
    whole = np.array([limit.absolute(dense) for limit in Budget.parse(budget).limits])
    assert [limit.metric for limit in Budget.parse(budget).limits] == list(METRICS[:4])
    for row in np.random.default_rng(0).choice(everything, 5):
        costs = choice.used(row, budget)[0] * whole
        assert knapsack.costs(row.astype(float)) == pytest.approx(costs, rel=1e-12)
        groups = knapsack.groups
        assert knapsack.forms_at(row.astype(float)).costs(row[:groups].astype(float)) == pytest.approx(costs, rel=1e-12)
        entries = [(v, value) for v, values in enumerate(knapsack.values) for value in values]
        changed = np.array([np.where(np.arange(len(row)) == v, value, row) for v, value in entries]).astype(np.int64)
        expected = choice.used(changed, budget) * whole - costs
        assert pytest.approx(expected, rel=1e-9, abs=1e-6) == moves.changes(row.astype(float)).T
