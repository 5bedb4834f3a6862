"""Budgets that are none, in characters that look like others, or beyond every number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.core.budget import Budget
from automl.core.cost import Cost
from automl.core.errors import BudgetError
from tests.hostile.door import Door
from tests.hostile.network import SPEC

DENSE = Cost(10**9, 10**7, 4 * 10**7, 10**12, 20.0)
NOTHING = ("", " ", ",", ",,,", "0.25", "flops", "quarter", ".flops", "e5flops", "0x1flops", "1_0flops")
NUMBERS = (
    "0flops",
    "-0.25flops",
    "+-1flops",
    "nanflops",
    "NaN",
    "infflops",
    "-infflops",
    "1.5flops",
    "1e999flops",
    "1e999Mflops",
    "1e-999flops",
    "9e999ms",
    "1e308Gflops",
    "1e-320flops",
    "0.2.5flops",
    "1e5e5flops",
    "0.25latency,inf ms",
    "0.0000001size",
    "1B",
    "9" * 5000 + "Mflops",
)
UNITS = (
    "0.25flop5",
    "0.25 fl ops",
    "5gms",
    "5kms",
    "5kus",
    "5mms",
    "3mlatency",
    "2ks",
    "2MMB",
    "2TB",
    "5hours",
    "flops" * 1000,
    "0.25flops;2MB",
    "0.25flops|2MB",
    "[0.25flops]",
    "{'flops': 0.25}",
    "(0.25)flops",
    "0,25flops",
    "../../flops",
    "<script>alert(1)</script>",
)
CHARACTERS = (
    "0.25\nflops",
    "0.25\tflops",
    "0.25\x0bflops",
    "0.25flops\x1b[2J",
    "\x1b]0;owned\x07flops",
    "\u202e0.25flops",
    "\u0660.\u0662\u0665flops",
    "\uff11flops",
    "\u00bdflops",
    "\u2163flops",
    "\u00b2flops",
    "0.25flop\u017f",
    "2\u212ab",
    "\ud800flops",
)


@pytest.mark.parametrize("budget", [*NOTHING, *NUMBERS, *UNITS, *CHARACTERS], ids=lambda text: ascii(text)[:40])
def test_what_is_no_budget_is_refused(door: Door, budget: str) -> None:
    door.refused("search", f"--model={SPEC}", f"--budget={budget}")


@given(st.text(alphabet="0123456789.+-eE,kMGBbflopsmaru \n\u0663\u212a", max_size=20))
def test_any_text_is_a_budget_above_nothing_or_is_refused(text: str) -> None:
    try:
        budget = Budget.parse(text)
    except BudgetError:
        return
    assert budget.limits
    assert all(0 < limit.absolute(DENSE) < float("inf") for limit in budget.limits)
