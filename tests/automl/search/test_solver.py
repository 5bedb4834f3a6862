from collections.abc import Callable, Iterator

import numpy as np
import pytest

from automl.compress.probe import trace_prunable
from automl.core.budget import Budget
from automl.core.errors import BudgetError, InputError
from automl.core.policy import CompressionPolicy, checked_policy, dense_policy
from automl.core.sensitivity import SensitivityTable
from automl.models.registry import build
from automl.search import solver as solver_module
from automl.search.solver import Solver
from benchmarks.tables import random_table
from search_spaces.rules import WidthRule
from search_spaces.space import channel_space
from tests.automl.search.choices import STEP, Choice, chain, concatenation, residual


def dropping(seed: int) -> Choice:
    return residual(seed, droppable=True)


KINDS = (chain, residual, dropping, concatenation)
BUDGETS = ("0.5flops", "0.3flops", "0.4flops,0.4params")


def solver_of(choice: Choice, budget: str, table: SensitivityTable | None = None) -> Solver:
    dense = choice.cost_model(dense_policy(choice.graph))
    return Solver(choice.knobs, table or choice.table, choice.cost_model, Budget.parse(budget), dense)


def strange_multipliers(groups: int) -> Iterator[np.ndarray[tuple[int], np.dtype[np.float64]]]:
    random = np.random.default_rng(0)
    yield from (random.normal(0, spread, groups) for spread in (0.0, 0.5, 5.0, 50.0))
    yield np.full(groups, np.nan)
    yield np.where(np.arange(groups) % 2 == 0, np.inf, -np.inf)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_nearly_the_least_of_all_choices(kind: Callable[[int], Choice]) -> None:
    above = []
    for seed in range(8):
        choice = kind(seed)
        for budget in BUDGETS:
            widths = solver_of(choice, budget).solve(np.zeros(len(choice.knobs)))
            above.append(choice.loss(widths) / choice.optimum(budget) - 1)
    # A handful of groups of a few widths each leaves gaps that real networks do not have.
    assert np.mean(above) < 0.01
    assert np.quantile(above, 0.9) < 0.02


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("budget", BUDGETS)
def test_every_limit_holds_whatever_the_multipliers(kind: Callable[[int], Choice], budget: str) -> None:
    choice = kind(1)
    solver = solver_of(choice, budget)
    allowed = {tuple(row) for row in choice.everything().tolist()}
    for log_multipliers in strange_multipliers(len(choice.knobs)):
        widths = solver.solve(log_multipliers)
        assert (choice.used(widths, budget) <= 1.0).all()
        assert tuple(widths.tolist()) in allowed


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_of_groups_in_turn_come_near_where_tables_would_be_too_large(
    kind: Callable[[int], Choice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solver_module, "_MOST_ENTRIES", 8)
    for seed in range(4):
        choice = kind(seed)
        allowed = {tuple(row) for row in choice.everything().tolist()}
        widths = solver_of(choice, "0.4flops").solve(np.zeros(len(choice.knobs)))
        assert tuple(widths.tolist()) in allowed
        assert (choice.used(widths, "0.4flops") <= 1.0).all()
        assert choice.loss(widths) < 1.3 * choice.optimum("0.4flops")


@pytest.mark.parametrize("budget", ["0.5flops", "0.2flops", "0.4flops,0.3params"])
def test_nearly_all_of_the_tightest_limit_is_used_where_steps_are_fine(budget: str) -> None:
    choice = chain(0, groups=8, levels=48)
    solver = solver_of(choice, budget)
    for seed in range(5):
        widths = solver.solve(np.random.default_rng(seed).normal(0, 1, len(choice.knobs)))
        assert 0.98 <= choice.used(widths, budget).max() <= 1.0


def test_the_same_multipliers_give_the_same_widths_whatever_was_asked_before() -> None:
    choice = chain(2, groups=8, levels=48)
    random = np.random.default_rng(0)
    proposals = [random.normal(0, 1, len(choice.knobs)) for _ in range(4)]
    forwards = solver_of(choice, "0.3flops")
    backwards = solver_of(choice, "0.3flops")
    once = [forwards.solve(each).tolist() for each in proposals]
    again = [backwards.solve(each).tolist() for each in reversed(proposals)]
    assert once == again[::-1]


def test_a_common_factor_on_the_losses_changes_nothing() -> None:
    choice = chain(3, groups=8, levels=32)
    groups = len(choice.knobs)
    larger = choice.table.multiplied(np.full(groups, np.log(1000.0)))
    plain = solver_of(choice, "0.3flops").solve(np.zeros(groups))
    assert solver_of(choice, "0.3flops", larger).solve(np.zeros(groups)).tolist() == plain.tolist()
    assert solver_of(choice, "0.3flops").solve(np.full(groups, 4.0)).tolist() == plain.tolist()


def test_multipliers_are_those_of_the_table() -> None:
    choice = residual(4)
    log_multipliers = np.random.default_rng(0).normal(0, 1, len(choice.knobs))
    by_solver = solver_of(choice, "0.3flops").solve(log_multipliers)
    by_table = solver_of(choice, "0.3flops", choice.table.multiplied(log_multipliers)).solve(
        np.zeros(len(choice.knobs))
    )
    assert by_solver.tolist() == by_table.tolist()


def test_a_group_with_a_huge_loss_stays_wide() -> None:
    choice = chain(5, groups=6, levels=32)
    for group in range(len(choice.knobs)):
        log_multipliers = np.where(np.arange(len(choice.knobs)) == group, 12.0, 0.0)
        widths = solver_of(choice, "0.5flops").solve(log_multipliers)
        assert widths[group] == choice.knobs[group].choices[-1]


def test_flat_losses_still_use_the_budget() -> None:
    choice = chain(6, groups=6, levels=32)
    flat = SensitivityTable(
        choice.table.knobs, choice.table.choices, tuple(tuple(0.0 for _ in row) for row in choice.table.losses)
    )
    widths = solver_of(choice, "0.5flops", flat).solve(np.zeros(len(choice.knobs)))
    assert 0.9 <= choice.used(widths, "0.5flops").max() <= 1.0


def test_the_whole_network_is_the_answer_where_it_fits() -> None:
    choice = residual(0)
    widths = solver_of(choice, "1flops").solve(np.zeros(len(choice.knobs)))
    assert widths.tolist() == [knob.choices[-1] for knob in choice.knobs]


def test_a_branch_that_hardly_matters_is_dropped_with_what_only_it_reads() -> None:
    choice = dropping(1)
    names = list(choice.table.knobs)
    light = np.array([-12.0 if name in {"a", "b"} else 0.0 for name in names])
    widths = dict(zip(names, solver_of(choice, "0.5flops").solve(light).tolist(), strict=True))
    assert widths["a"] == widths["b"] == 0
    assert checked_policy(choice.graph, CompressionPolicy(widths)).channels == widths


def test_a_budget_that_no_widths_meet_is_refused() -> None:
    with pytest.raises(BudgetError, match="must be reachable"):
        solver_of(chain(0), "0.001flops")


def test_a_table_of_other_widths_is_refused() -> None:
    choice = chain(0)
    other = SensitivityTable(("x",), ((STEP,),), ((0.0,),))
    with pytest.raises(InputError, match="knobs and choices of the search space"):
        solver_of(choice, "0.5flops", other)


@pytest.mark.parametrize(
    "spec",
    [
        "torchvision:shufflenet_v2_x1_0",
        "torchvision:regnet_y_400mf",
        pytest.param("torchvision:densenet121", marks=pytest.mark.slow),
        pytest.param("torchvision:resnet50", marks=pytest.mark.slow),
    ],
)
def test_real_networks_are_solved_within_their_budget_and_better_than_uniformly(spec: str) -> None:
    graph = trace_prunable(build(spec).eval(), (3, 64, 64)).graph
    knobs = channel_space(graph, WidthRule(8)).knobs
    choice = Choice(graph, knobs, random_table(knobs, np.random.default_rng(0)))
    for budget in ("0.5flops", "0.6flops,0.6params"):
        widths = solver_of(choice, budget).solve(np.zeros(len(knobs)))
        assert (choice.used(widths, budget) <= 1.0).all()
        assert choice.loss(widths) < choice.loss(uniform(choice, budget))


def uniform(choice: Choice, budget: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The widest choice with one keep ratio for all groups."""
    for ratio in np.linspace(1, 0, 101):
        rows = [[width for width in knob.choices if width] for knob in choice.knobs]
        widths = np.array([max(w for w in row if w <= max(ratio * row[-1], row[0])) for row in rows])
        if (choice.used(widths, budget) <= 1.0).all():
            return widths
    raise AssertionError("the narrowest network must fit")
