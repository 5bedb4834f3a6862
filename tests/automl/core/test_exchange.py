import numpy as np
import pytest

from automl.core.exchange import exchange
from tests.contracts.problem import SENSITIVITY, WIDTHS, SeparableEvaluator, separable_problem, wrong_table


def test_steps_go_from_one_width_below_to_one_above() -> None:
    problem = separable_problem(SeparableEvaluator())
    steps = exchange(problem.sensitivity, problem.projection, np.full(len(SENSITIVITY), 16))
    losses = wrong_table().losses[0]
    assert steps.gain[0] == pytest.approx(losses[WIDTHS.index(12)] - losses[WIDTHS.index(20)])
    # Eight channels of one block of eight, each of 32 channels, of which half may stay.
    np.testing.assert_allclose(steps.price, 8 / (8 * 32 * 0.5))
    assert steps.known.all()


def test_at_the_ends_the_steps_are_half_as_long() -> None:
    problem = separable_problem(SeparableEvaluator())
    steps = exchange(problem.sensitivity, problem.projection, np.array([32, *[4] * 7]))
    np.testing.assert_allclose(steps.price, 4 / (8 * 32 * 0.5))


def test_a_knob_that_loses_nothing_has_no_rate() -> None:
    problem = separable_problem(SeparableEvaluator())
    table = wrong_table()
    flat = type(table)(table.knobs, table.choices, ((0.0,) * len(WIDTHS), *table.losses[1:]))
    assert exchange(flat, problem.projection, np.full(8, 16)).known.tolist() == [False, *[True] * 7]
