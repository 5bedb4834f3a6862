import numpy as np
import pytest

from automl.core.errors import BudgetError
from tests.tiny import tiny_projection

# Dense: 16 * 16 * 27 + 16 * 32 * 144 + 320 = 80,960 MACs.


@pytest.mark.parametrize("budget", ["0.5flops", "0.25flops", "0.1flops", "0.4flops,0.3params", "0.5size,40kflops"])
def test_every_projected_policy_meets_every_budget_and_leaves_no_room_for_a_step(budget: str) -> None:
    projection = tiny_projection(budget, multiple=1)
    for wanted in np.random.default_rng(0).random((200, 2)) * [16, 32]:
        widths = projection(wanted)
        assert projection.used(widths[None])[0] <= 1.0
        wider = [widths + step for step in np.eye(2, dtype=np.int64) if (widths + step <= [16, 32]).all()]
        room = min(projection.used(step[None])[0] for step in wider)
        assert room > 1.0 or projection.used(widths[None])[0] >= 0.98


def test_projecting_twice_changes_nothing() -> None:
    projection = tiny_projection("0.3flops", multiple=1)
    for proposal in np.random.default_rng(1).random((100, 2)) * [16, 32]:
        once = projection(proposal)
        assert projection(once.astype(float)).tolist() == once.tolist()


def test_a_policy_on_budget_comes_back_unchanged() -> None:
    # a=11, b=22: 16 * 11 * 27 + 16 * 22 * 99 + 220 = 39,820 of 40,480 MACs: 98.4%.
    assert tiny_projection("0.5flops", multiple=1)(np.array([11.0, 22.0])).tolist() == [11, 22]


def test_a_proposal_above_the_budget_keeps_its_proportions() -> None:
    # Scaling (16, 32) by 11/16 gives (11, 22), which is within the budget; 12/16 gives 48,084 MACs, which is not.
    assert tiny_projection("0.5flops", multiple=1)(np.array([16.0, 32.0])).tolist() == [11, 22]


def test_nonsense_proposals_still_give_a_feasible_policy() -> None:
    projection = tiny_projection("0.3flops")
    for proposal in ([np.nan, np.inf], [0.0, 0.0], [-5.0, 1e9], [1e-9, 1e-9]):
        assert projection.used(projection(np.array(proposal))[None])[0] <= 1.0


def test_widths_are_allowed_choices() -> None:
    projection = tiny_projection("0.3flops", multiple=4)
    for proposal in np.random.default_rng(2).random((50, 2)) * [16, 32]:
        assert all(width % 4 == 0 for width in projection(proposal).tolist())


def test_an_unreachable_budget_names_the_nearest_reachable_one() -> None:
    # 4 and 4 channels: 16 * 4 * 27 + 16 * 4 * 36 + 40 = 4,072 MACs, which is 0.0503 of the dense ones, rounded up.
    with pytest.raises(BudgetError, match=r"nearest reachable budget is 0\.0503flops"):
        tiny_projection("0.01flops")


def test_the_nearest_reachable_budget_is_reachable() -> None:
    projection = tiny_projection("0.0503flops")
    assert projection(np.array([16.0, 32.0])).tolist() == [4, 4]


def test_a_budget_above_the_dense_cost_is_refused() -> None:
    with pytest.raises(BudgetError, match="above the dense cost"):
        tiny_projection("1Mflops")


def test_the_dense_network_is_feasible_at_its_own_cost() -> None:
    assert tiny_projection("1flops")(np.array([16.0, 32.0])).tolist() == [16, 32]
