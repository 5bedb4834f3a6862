from collections.abc import Callable

import numpy as np
import pytest

from automl.core.budget import Budget
from automl.core.errors import InputError
from automl.core.policy import dense_policy
from automl.search import intervals
from automl.search.certificate import Certificate, certify
from automl.search.solver import Solver
from tests.automl.search.choices import (
    Choice,
    Values,
    chain,
    concatenation,
    joint_chain,
    joint_concatenation,
    joint_residual,
    residual,
)
from tests.automl.search.test_solver import dropping


def joint_dropping(seed: int) -> Choice:
    return joint_residual(seed, droppable=True)


KINDS = (chain, residual, dropping, concatenation)
JOINT_KINDS = (joint_chain, joint_residual, joint_dropping, joint_concatenation)
WIDTH_BUDGETS = ("0.5flops", "0.3flops", "0.4flops,0.4params", "0.5size,0.3flops,0.5params")
JOINT_BUDGETS = ("0.02bops", "0.25size", "0.5flops,0.02bops", "0.25size,0.02bops")
PROBLEMS = [
    *((kind, budget) for kind in KINDS for budget in WIDTH_BUDGETS),
    *((kind, budget) for kind in JOINT_KINDS for budget in JOINT_BUDGETS),
]


def certified(choice: Choice, budget: str, incumbent: Values | None = None, time_limit_s: float = 30.0) -> Certificate:
    dense = choice.cost_model(dense_policy(choice.graph))
    problem = (choice.knobs, choice.table, choice.cost_model, Budget.parse(budget), dense)
    widths = Solver(*problem).solve(np.zeros(len(choice.knobs))) if incumbent is None else incumbent
    return certify(*problem, widths, time_limit_s)


def smallest(choice: Choice) -> Values:
    return np.array([next(width for width in knob.choices if width) for knob in choice.knobs])


@pytest.mark.parametrize(("kind", "budget"), PROBLEMS)
def test_the_certified_loss_is_the_least_of_all_choices(kind: Callable[[int], Choice], budget: str) -> None:
    for seed in range(3):
        choice = kind(seed)
        found = certified(choice, budget)
        optimum = choice.optimum(budget)
        assert found.optimal
        assert found.loss == pytest.approx(optimum, rel=1e-9)
        assert choice.loss(found.values) == pytest.approx(found.loss, rel=1e-9)
        assert (choice.used(found.values, budget) <= 1.0).all()
        assert found.lower_bound <= optimum * (1 + 1e-9)
        assert found.gap <= 1e-6


def test_a_poor_incumbent_leads_to_the_same_optimum() -> None:
    choice = residual(1)
    found = certified(choice, "0.4flops", smallest(choice))
    assert found.optimal
    assert found.loss == pytest.approx(choice.optimum("0.4flops"), rel=1e-9)


@pytest.mark.parametrize("entries", [40, 200, 1000])
def test_intervals_of_widths_bound_as_well_as_the_widths_that_they_split_into(
    entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "_MOST_ENTRIES", entries)
    for kind in (*KINDS, *JOINT_KINDS):
        choice = kind(2)
        budget = "0.4flops" if kind in KINDS else "0.02bops"
        optimum = choice.optimum(budget)
        found = certified(choice, budget)
        assert found.lower_bound <= optimum * (1 + 1e-9) <= found.loss * (1 + 2e-9)
        if found.optimal:
            assert found.loss == pytest.approx(optimum, rel=1e-6)


def test_the_bound_is_below_every_feasible_sample() -> None:
    choice = chain(0, groups=10, levels=24)
    found = certified(choice, "0.4flops", time_limit_s=2.0)
    random = np.random.default_rng(0)
    sampled = np.stack([random.choice(knob.choices, 3000) for knob in choice.knobs], axis=1)
    feasible = sampled[(choice.used(sampled, "0.4flops") <= 1.0).all(axis=1)]
    assert len(feasible) > 100
    assert 0 < found.lower_bound <= min(choice.loss(row) for row in feasible)
    assert found.lower_bound <= found.loss


def test_without_time_the_incumbent_comes_back_with_a_true_bound() -> None:
    choice = residual(3)
    found = certified(choice, "0.4flops", smallest(choice), time_limit_s=0.0)
    assert found.values.tolist() == smallest(choice).tolist()
    assert found.lower_bound <= choice.optimum("0.4flops")
    assert not found.optimal


def test_the_whole_network_is_optimal_where_it_fits() -> None:
    choice = chain(1)
    found = certified(choice, "1flops", smallest(choice))
    assert found.optimal
    assert found.values.tolist() == [knob.choices[-1] for knob in choice.knobs]
    assert found.gap == pytest.approx(0.0, abs=1e-9)


def test_an_incumbent_above_the_budget_is_refused() -> None:
    choice = chain(1)
    with pytest.raises(InputError, match="must meet every limit"):
        certified(choice, "0.3flops", np.array([knob.choices[-1] for knob in choice.knobs]))


def test_an_incumbent_with_half_a_branch_is_refused() -> None:
    choice = dropping(1)
    widths = smallest(choice)
    widths[[knob.target for knob in choice.knobs].index("b")] = 0
    with pytest.raises(InputError, match="dropped together"):
        certified(choice, "0.5flops", widths)
