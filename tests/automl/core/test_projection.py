import numpy as np
import pytest

from automl.core.budget import Budget
from automl.core.errors import BudgetError
from automl.core.knob import Knob
from automl.core.policy import dense_policy
from automl.core.projection import TARGET_USE, Projection
from automl.costs.model import AnalyticCostModel
from tests.branched import branched_graph
from tests.quantized import joint_knobs, quantizable_graph
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


def branched_projection(budget: str, branch: tuple[int, ...] = (0, 2, 4, 6, 8)) -> Projection:
    """Of `branched_graph`, in the order s, a, b; only b may be dropped, and a goes with it."""
    graph = branched_graph()
    cost_model = AnalyticCostModel(graph)
    choices = [(4, 8, 12, 16), (2, 4, 6, 8), branch]
    knobs = [Knob(g.name, "channels", widths) for g, widths in zip(graph.prunable, choices, strict=True)]
    return Projection(knobs, cost_model, Budget.parse(budget), cost_model(dense_policy(graph)))


# Dense: 16 positions x (16 * 27 + 8 * 16 + 8 * 72 + 16 * 8) + 160 = 20,384 MACs; without the branch 7,072 (34.7%).


def test_a_branch_is_dropped_where_0_is_asked_and_priced_without_what_it_alone_reads() -> None:
    projection = branched_projection("0.9flops")
    widths = projection(np.array([16.0, 8.0, 0.0]))
    assert widths.tolist() == [16, 0, 0]
    assert projection.used(widths[None])[0] == pytest.approx(7072 / (0.9 * 20384))


def test_what_is_dropped_never_comes_back_and_the_rest_is_filled() -> None:
    # s=12 without the branch: 16 * 12 * 27 + 120 = 5,304 of at most 6,115 MACs; s=16 is above.
    projection = branched_projection("0.3flops")
    for stem in (4.0, 12.0, 16.0):
        assert projection(np.array([stem, 8.0, 0.0])).tolist() == [12, 0, 0]
    assert projection(np.array([12.0, 0.0, 0.0])).tolist() == [12, 0, 0]


def test_nothing_above_0_is_rounded_to_0_and_nonsense_drops_nothing() -> None:
    projection = branched_projection("0.3flops")
    for inner in (1e-12, 0.4, np.nan, -1.0, np.inf):
        widths = projection(np.array([16.0, 8.0, inner]))
        assert widths.min() >= 2
        assert projection.used(widths[None])[0] <= 1.0


def test_0_is_no_drop_for_a_group_that_must_stay() -> None:
    assert branched_projection("0.3flops")(np.array([0.0, 0.0, 8.0])).min() >= 2


def test_dropping_twice_changes_nothing() -> None:
    projection = branched_projection("0.5flops")
    for proposal in np.random.default_rng(4).random((50, 3)) * [16, 8, 8]:
        proposal[2] *= proposal[0] > 8
        once = projection(proposal)
        assert projection.used(once[None])[0] <= 1.0
        assert projection(once.astype(float)).tolist() == once.tolist()


def test_a_budget_must_be_reachable_without_dropping() -> None:
    # s=4, a=2, b=2: 16 * (4 * 27 + 8 + 36 + 8) + 40 = 2,600 MACs of 20,384.
    with pytest.raises(BudgetError, match=r"smallest policy needs 2,600.*0\.1276flops"):
        branched_projection("0.1flops")


def test_a_branch_may_be_gone_for_good() -> None:
    # s=4 without the branch: 16 * 4 * 27 + 40 = 1,768 MACs, which is 8.7%; with two channels of a it were 1,896.
    assert branched_projection("0.09flops", branch=(0,))(np.array([16.0, 8.0, 8.0])).tolist() == [4, 0, 0]


def joint_projection(budget: str, bits: str = "4,8") -> Projection:
    """Knobs: widths of a and b; weight bits of a, b and fc; input bits of a, b and fc. Only those of b are free."""
    graph = quantizable_graph()
    cost_model = AnalyticCostModel(graph)
    return Projection(joint_knobs(bits), cost_model, Budget.parse(budget), cost_model(dense_policy(graph)))


def test_widths_make_room_for_the_bits_that_are_asked_for() -> None:
    projection = joint_projection("0.02bops")
    few, many = (projection(np.array([16.0, 32.0, 8, bits, 8, 8, bits, 8])) for bits in (4.0, 8.0))
    assert few[[3, 6]].tolist() == [4, 4]
    assert many[[3, 6]].tolist() == [8, 8]
    assert (many[:2] < few[:2]).all()
    assert (projection.used(np.stack([few, many])) <= 1.0).all()


def test_bits_give_way_where_no_widths_are_small_enough() -> None:
    # The least widths, 4 and 4, have 16 * (4 * 27 + 4 * 36) + 40 = 4,072 MACs: 64 BOPs each for a and fc (113,152),
    # and of b's 2,304 MACs 64, 32 or 16 each.
    dense = 1024 * 81_280
    projection = joint_projection(f"{155_000 / dense:.6f}bops")
    values = projection(np.array([16.0, 32.0, 8, 8, 8, 8, 8, 8]))
    assert values[:2].tolist() == [4, 4]
    assert sorted(values[[3, 6]].tolist()) == [4, 4]


def test_bits_fill_what_the_widest_layers_leave() -> None:
    values = joint_projection("1flops")(np.array([16.0, 32.0, 8, 4, 8, 8, 4, 8]))
    assert values.tolist() == [16, 32, 8, 4, 8, 8, 4, 8]  # already at the limit: nothing to fill
    filled = joint_projection("0.0625bops")(np.array([16.0, 32.0, 8, 4, 8, 8, 4, 8]))
    assert filled.tolist() == [16, 32, 8, 8, 8, 8, 8, 8]


def test_a_joint_projection_changes_nothing_twice() -> None:
    projection = joint_projection("0.02bops,0.2size", "w2-8a4-8")
    generator = np.random.default_rng(0)
    for _ in range(20):
        once = projection(generator.uniform(0, 32, 8))
        assert projection.used(once[None])[0] <= 1.0
        if projection.used(once[None])[0] >= TARGET_USE:
            assert projection(once.astype(float)).tolist() == once.tolist()


def test_a_budget_that_no_bits_reach_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(BudgetError, match=r"nearest reachable budget is 0\.\d+bops"):
        joint_projection("0.0001bops")
