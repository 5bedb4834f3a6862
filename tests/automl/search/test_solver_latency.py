from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from automl.core.budget import METRICS, Budget, Metric
from automl.core.errors import BudgetError
from automl.core.graph import ModelGraph
from automl.core.knob import Knob
from automl.core.policy import dense_policy
from automl.core.projection import Projection
from automl.core.quadratic import QuadraticForm
from automl.core.sensitivity import SensitivityTable
from automl.core.view import WIDTH, View
from automl.search import intervals
from automl.search import solver as solver_module
from automl.search.forms import Forms
from automl.search.intervals import Intervals
from automl.search.knapsack import Knapsack
from automl.search.moves import Moves
from automl.search.remainder import _between
from tests.automl.search.choices import STEP, Choice, chain, concatenation, joint_residual, residual, timed
from tests.automl.search.test_certificate import certified
from tests.automl.search.test_solver import dropping, solver_of, strange_multipliers

Kind = Callable[[int], Choice]


def joint_dropping(seed: int) -> Choice:
    return joint_residual(seed, droppable=True)


KINDS = (chain, residual, dropping, concatenation)
BUDGETS = ("0.6latency", "0.5latency", "0.5latency,0.4flops", "0.6latency,0.5params,0.4flops")
JOINT_BUDGETS = ("0.5latency,0.02bops", "0.6latency,0.25size")
PROBLEMS = [
    *((kind, budget) for kind in KINDS for budget in BUDGETS),
    *((joint_dropping, budget) for budget in JOINT_BUDGETS),
]


def knapsack_of(choice: Choice, budget: str) -> Knapsack:
    dense = choice.cost_model(dense_policy(choice.graph))
    return Knapsack.of(choice.knobs, choice.cost_model, Budget.parse(budget), dense)


def projection_of(choice: Choice, budget: str) -> Projection:
    dense = choice.cost_model(dense_policy(choice.graph))
    return Projection(choice.knobs, choice.cost_model, Budget.parse(budget), dense)


def test_the_loss_is_nearly_the_least_of_all_choices_within_the_latency() -> None:
    above = []
    for kind, budget in PROBLEMS:
        for seed in range(4):
            choice = timed(kind(seed), seed)
            values = solver_of(choice, budget).solve(np.zeros(len(choice.knobs)))
            assert (choice.used(values, budget) <= 1.0).all()
            above.append(choice.loss(values) / choice.optimum(budget) - 1)
    # Nearly all are the optimum; a handful of groups of a few widths leaves single gaps that real networks do not have.
    assert np.mean(above) < 0.01
    assert np.quantile(above, 0.9) < 0.03


@pytest.mark.parametrize(("kind", "budget"), PROBLEMS)
def test_the_certified_loss_is_the_least_of_all_choices_within_the_latency(kind: Kind, budget: str) -> None:
    for seed in range(2):
        choice = timed(kind(seed), seed)
        found, optimum = certified(choice, budget), choice.optimum(budget)
        assert found.optimal
        assert found.loss == pytest.approx(optimum, rel=1e-9)
        assert (choice.used(found.values, budget) <= 1.0).all()
        assert found.lower_bound <= optimum * (1 + 1e-9)


@pytest.mark.parametrize("entries", [40, 200])
def test_intervals_bound_where_wider_is_faster(entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "_MOST_ENTRIES", entries)
    for kind, budget in PROBLEMS:
        choice = timed(kind(2), 2)
        found, optimum = certified(choice, budget), choice.optimum(budget)
        assert found.lower_bound <= optimum * (1 + 1e-9) <= found.loss * (1 + 2e-9)


def test_an_interval_costs_no_more_than_any_of_its_values() -> None:
    choice = timed(chain(0, groups=3, levels=12), 0)
    knapsack = knapsack_of(choice, "0.5latency")
    sizes = np.array(knapsack.sizes)
    coarse = Intervals(
        tuple(np.array([0, 1, size // 2]) for size in sizes),
        tuple(np.array([0, size // 2 - 1, size - 1]) for size in sizes),
    )
    menu = coarse.menu(knapsack, knapsack.losses(choice.table, choice.knobs))
    random = np.random.default_rng(0)
    for _ in range(200):
        chosen = random.integers(0, 3, len(sizes))
        ends = [(int(f[c]), int(z[c])) for f, z, c in zip(coarse.firsts, coarse.lasts, chosen, strict=True)]
        inside = np.array([random.integers(first, last + 1) for first, last in ends])
        seen = np.array([rows[:, c] for rows, c in zip(menu.seen, chosen, strict=True)]).T
        assert knapsack.forms.costs(seen)[0] <= knapsack.costs(knapsack.at(inside))[0]


@pytest.mark.parametrize("kind", [*KINDS, joint_dropping])
def test_every_limit_holds_whatever_is_proposed(kind: Kind) -> None:
    choice = timed(kind(1), 1)
    budget = "0.6latency,0.6flops"
    allowed = {tuple(row) for row in choice.everything().tolist()}
    solver, projection = solver_of(choice, budget), projection_of(choice, budget)
    most = np.array([knob.choices[-1] for knob in choice.knobs])
    random = np.random.default_rng(0)
    proposals = [random.random(len(most)) * most * (random.random(len(most)) > 0.1) for _ in range(60)]
    found = [solver.solve(z) for z in strange_multipliers(len(most))] + [projection(each) for each in proposals]
    for values in found:
        assert (choice.used(values, budget) <= 1.0).all()
        assert tuple(values.tolist()) in allowed
        again = projection(values.astype(float))
        assert (projection.used(again[None]) <= 1.0).all()


def test_blocks_of_groups_in_turn_keep_within_the_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver_module, "_MOST_ENTRIES", 8)
    for seed in range(4):
        choice = timed(concatenation(seed), seed)
        values = solver_of(choice, "0.5latency").solve(np.zeros(len(choice.knobs)))
        assert (choice.used(values, "0.5latency") <= 1.0).all()
        assert choice.loss(values) < 1.3 * choice.optimum("0.5latency")


@pytest.mark.parametrize("kind", [*KINDS, joint_dropping])
def test_costs_and_changes_are_those_of_the_cost_model(kind: Kind) -> None:
    choice = timed(kind(3), 3)
    budget = "1latency,1flops"
    knapsack = knapsack_of(choice, budget)
    moves = Moves(knapsack, knapsack.losses(choice.table, choice.knobs))
    dense = choice.cost_model(dense_policy(choice.graph))
    whole = np.array([limit.absolute(dense) for limit in Budget.parse(budget).limits])
    groups = knapsack.groups
    for row in np.random.default_rng(0).choice(choice.everything(), 5).astype(float):
        costs = choice.used(row.astype(np.int64), budget)[0] * whole
        assert knapsack.costs(row) == pytest.approx(costs, rel=1e-12)
        forms = knapsack.forms_at(row)
        assert forms.costs(forms.lifted(row[:groups])) == pytest.approx(costs, rel=1e-12)
        entries = [(v, value) for v, values in enumerate(knapsack.values) for value in values]
        changed = np.array([np.where(np.arange(len(row)) == v, value, row) for v, value in entries]).astype(np.int64)
        expected = choice.used(changed, budget) * whole - costs
        assert pytest.approx(expected, rel=1e-9, abs=1e-9) == moves.changes(row).T


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("budget", ["0.5latency", "0.5latency,0.5flops"])
def test_the_widest_level_after_a_move_is_the_widest_of_all_that_fit(kind: Kind, budget: str) -> None:
    choice = timed(kind(4), 4)
    knapsack = knapsack_of(choice, budget)
    moves = Moves(knapsack, knapsack.losses(choice.table, choice.knobs))
    index = moves._filled(knapsack.smallest)
    first = np.repeat(np.arange(knapsack.groups), 2)
    level = np.clip(index[first] + np.tile([-1, 1], knapsack.groups), 0, np.array(knapsack.sizes)[first] - 1)
    widest = moves._widest(index, first, moves._starts[first] + level)
    for move, (group, to) in enumerate(zip(first, level, strict=True)):
        for other in set(range(knapsack.groups)) - {int(group)}:
            rows = [np.where(np.arange(len(index)) == other, each, index) for each in range(knapsack.sizes[other])]
            fits = [knapsack.fits(np.where(np.arange(len(index)) == group, to, row)) for row in rows]
            assert widest[move, other] == max((each for each, fit in enumerate(fits) if fit), default=-1)


def wide_and_narrow() -> tuple[ModelGraph, tuple[Knob, ...], SensitivityTable, QuadraticForm]:
    """A chain, where only full multiples of the first group's width are fast."""
    choice = chain(0, groups=2, levels=4)
    knobs = tuple(Knob(knob.target, "channels", (4, 8, 12, 16)) for knob in choice.knobs)
    sizes = tuple(replace(group, channels=16) for group in choice.graph.groups)
    rows = ((0.3, 0.2, 0.1, 0.0), (0.3, 0.2, 0.1, 0.0))
    table = SensitivityTable(tuple(knob.name for knob in knobs), tuple(knob.choices for knob in knobs), rows)
    views = (View("padded", 8), View("odd", 8))
    # Milliseconds: 4 is 8 + 40, 8 is 8, 12 is 16 + 120, 16 is 16; the second group has the same at a tenth.
    latency = QuadraticForm(0.0, np.array([1.0, 10.0, 0.1, 1.0]), np.zeros((4, 4)), views)
    return replace(choice.graph, groups=sizes), knobs, table, latency


def test_the_narrowest_widths_need_not_be_the_fastest() -> None:
    choice = Choice(*wide_and_narrow())
    # 8 and 8 take 8.8 ms of 17.6; 4 and 4 would take 52.8.
    for budget in ("9ms", "0.5latency"):
        assert solver_of(choice, budget).solve(np.zeros(2)).tolist() == [8, 8]
        assert projection_of(choice, budget)(np.array([16.0, 16.0])).tolist() == [8, 8]
        assert projection_of(choice, budget)(np.array([4.0, 4.0])).tolist() == [8, 8]
        assert certified(choice, budget, np.array([8, 8])).values.tolist() == [8, 8]
    with pytest.raises(BudgetError, match=r"allows 4\.5 ms and the smallest policy needs 8\.8 ms.*is 0\.5latency"):
        projection_of(choice, "4.5ms")
    with pytest.raises(BudgetError, match=r"allows 4\.5 ms and the smallest policy needs 8\.8 ms"):
        knapsack_of(choice, "4.5ms")
    with pytest.raises(BudgetError, match=r"allows 20 ms and the dense model has 17\.6 ms"):
        projection_of(choice, "20ms")


def test_a_fraction_of_a_millisecond_counts_with_bits_too() -> None:
    choice = timed(joint_residual(0), 0)
    full = choice.cost_model(dense_policy(choice.graph)).latency_ms
    assert full is not None
    allowed = np.floor(full * 0.6) + 0.75
    assert knapsack_of(choice, f"{allowed}ms,0.03bops").allowed[0] == allowed


def test_nets_of_equal_macs_are_told_apart_by_their_latency() -> None:
    choice = Choice(*wide_and_narrow())
    cost_model = choice.cost_model
    macs, latency = (METRICS.index(metric) for metric in (Metric.FLOPS, Metric.LATENCY))
    table = cost_model.table(choice.everything())
    pairs = [(a, b) for a in range(len(table)) for b in range(a) if abs(table[a, macs] / table[b, macs] - 1) < 0.05]
    assert max(abs(table[a, latency] / table[b, latency] - 1) for a, b in pairs) > 1.0
    # Under MACs a group may keep 12 channels; under milliseconds it never pays to.
    under_macs = [solver_of(choice, f"{share}flops").solve(np.zeros(2)) for share in (0.4, 0.6, 0.8)]
    under_latency = [solver_of(choice, f"{share}latency").solve(np.zeros(2)) for share in (0.55, 0.7, 0.9)]
    assert any((values % 8 != 0).any() for values in under_macs)
    assert all((values % 8 == 0).all() for values in under_latency)


@pytest.mark.parametrize("views", [(View("alive"),), (View("padded", 2 * STEP), WIDTH), (WIDTH,)])
def test_limits_of_different_views_are_laid_out_together(views: tuple[View, ...]) -> None:
    random = np.random.default_rng(0)
    of_widths = QuadraticForm(1.0, random.random(3), np.triu(random.random((3, 3))))
    size = 3 * len(views)
    of_views = QuadraticForm(2.0, random.random(size), np.triu(random.random((size, size))), views)
    forms = Forms.of([of_views, of_widths])
    assert forms.views[0] == WIDTH
    assert set(forms.views) == {WIDTH, *views}
    for widths in random.integers(0, 30, (20, 3)):
        expected = [of_views(widths[None])[0], of_widths(widths[None])[0]]
        assert forms.costs(forms.lifted(widths.astype(float))) == pytest.approx(expected, rel=1e-12)


def test_whole_costs_get_a_limit_between_two_steps_and_others_stay_as_they_are() -> None:
    costs = np.array([[4.0, 6.0, 10.0], [0.25, 1.5, 2.0]])
    # Sums of the first are even: 13 allows 12, and so does anything up to just below 14.
    assert _between(costs, np.array([13.0, 2.2])).tolist() == [13.0, 2.2]
    assert _between(costs, np.array([12.0, 2.2])).tolist() == [13.0, 2.2]
