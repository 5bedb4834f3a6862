import json
import math

import numpy as np
import pytest

from automl.core.errors import InputError
from automl.core.sensitivity import SensitivityTable

TABLE = SensitivityTable(("a", "b"), ((4, 8), (0, 2, 6)), ((0.5, 0.0), (2.0, 1.0, 0.25)))


def test_the_loss_of_a_policy_is_the_sum_over_knobs() -> None:
    assert TABLE.loss({"a": 4, "b": 2}) == 1.5
    assert TABLE.loss({"a": 8, "b": 0}) == 2.0


def test_a_group_that_is_absent_is_whole() -> None:
    assert TABLE.loss({"a": 4}) == 0.75


def test_a_group_that_goes_with_a_dropped_branch_loses_nothing_of_its_own() -> None:
    assert TABLE.loss({"a": 0, "b": 0}) == 2.0


def test_a_width_that_is_not_in_the_table_is_refused() -> None:
    with pytest.raises(InputError, match=r"it has 3 for 'b'\. Choose one of 0, 2, 6"):
        TABLE.loss({"b": 3})


def test_multiplied_scales_each_group_by_the_exponential() -> None:
    twice = TABLE.multiplied(np.array([math.log(2), 0.0]))
    assert twice.losses[0] == pytest.approx((1.0, 0.0))
    assert twice.losses[1] == TABLE.losses[1]


def test_nonsense_multipliers_give_a_table() -> None:
    strange = TABLE.multiplied(np.array([np.nan, np.inf]))
    assert strange.losses[0] == TABLE.losses[0]
    assert strange.losses[1][0] == pytest.approx(2.0 * math.exp(30))


def test_the_json_reads_back_as_it_was() -> None:
    assert SensitivityTable.from_json(json.loads(json.dumps(TABLE.to_json()))) == TABLE


@pytest.mark.parametrize(
    ("choices", "losses", "rule"),
    [
        (((4, 8),), ((math.nan, 0.0),), "finite"),
        (((4, 8),), ((1.0, -0.1),), "at least 0"),
        (((4, 8),), ((0.5, 1.0),), "not grow"),
        (((8, 4),), ((1.0, 0.5),), "ascend"),
        (((4, 8),), ((1.0,),), "one loss per choice"),
        (((),), ((),), "one loss per choice"),
        (((4, 8), (1,)), ((1.0, 0.0),), "every knob"),
    ],
)
def test_a_table_that_is_not_one_is_refused(
    choices: tuple[tuple[int, ...], ...], losses: tuple[tuple[float, ...], ...], rule: str
) -> None:
    with pytest.raises(InputError, match=rule):
        SensitivityTable(("a",), choices, losses)


@pytest.mark.parametrize("values", [{}, {"knobs": ["a"], "choices": 3, "losses": []}, {"knobs": None}])
def test_a_file_that_is_no_table_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(InputError, match="must hold"):
        SensitivityTable.from_json(values)
