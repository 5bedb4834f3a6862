import math

import pytest

from automl.core.policy import CompressionPolicy
from benchmarks.latency_match import AIM, ROUNDS, Round, closest, matched, share_at


def line(share: float) -> float:
    """10 ms for the whole network; no policy below a fifth of it."""
    return 10 * share if share >= 0.2 else -math.inf


def ended(share: float, ratio: float) -> Round:
    return Round(share, CompressionPolicy({"a": round(1000 * share)}), ratio)


def test_the_share_of_a_predicted_latency() -> None:
    for wanted in (0.25, 0.5, 0.8):
        assert share_at(line, 10 * wanted) == pytest.approx(wanted, abs=1 / 2**12)
    assert share_at(line, 1.0) == pytest.approx(0.2, abs=1 / 2**12)  # the nearest that there is
    assert share_at(line, 99.0) > 0.999


def test_a_machine_that_does_as_predicted_needs_one_search() -> None:
    (only,) = matched(line, lambda share: ended(share, line(share) / 5), 5.0)
    assert only.ratio == pytest.approx(AIM, abs=1e-3)


@pytest.mark.parametrize("slower", [0.8, 1.3])
def test_what_predictions_miss_is_corrected_by_timing(slower: float) -> None:
    first, second = matched(line, lambda share: ended(share, slower * line(share) / 5), 5.0)
    assert first.ratio == pytest.approx(slower * AIM, rel=1e-3)
    assert second.ratio == pytest.approx(AIM, rel=2e-3)
    assert second.share == pytest.approx(first.share / slower, rel=2e-3)


def test_one_budget_is_searched_once() -> None:
    stuck = matched(lambda share: 4.0 if share < 0.5 else 6.0, lambda share: ended(share, 1.2), 5.0)
    assert len(stuck) == len({each.share for each in stuck}) < ROUNDS


def test_between_too_fast_and_too_slow_shares_are_interpolated() -> None:
    def cubic(share: float) -> Round:
        return ended(share, (share / 0.4) ** 3)

    rounds = matched(line, cubic, 5.0)
    # From 0.5025 (1.98 times as long) the prediction leads to 0.255 (0.26 times), and its correction would go on so.
    assert [each.share for each in rounds[:2]] == pytest.approx([0.5025, 0.255], abs=0.001)
    # 0.255 + 0.2475 (1.005 - 0.26) / (1.98 - 0.26)
    assert rounds[2].share == pytest.approx(0.362, abs=0.001)
    assert closest(rounds).ratio == pytest.approx(AIM, abs=0.015)


def test_where_latencies_jump_over_the_aim_the_slower_side_is_taken() -> None:
    def jump(share: float) -> Round:
        return ended(share, 0.7 if share < 0.3 else 1.1)

    rounds = matched(line, jump, 5.0)
    assert len(rounds) == ROUNDS
    assert closest(rounds).ratio == 1.1


def test_a_network_that_is_too_fast_is_taken_only_where_all_are() -> None:
    slow, near, fast = ended(0.6, 1.1), ended(0.5, 1.0), ended(0.4, 0.979)
    assert closest([slow, near, fast]) == near
    assert closest([slow, fast]) == slow
    assert closest([fast, ended(0.3, 0.5)]) == fast


def test_a_larger_budget_may_lead_to_a_faster_network() -> None:
    ratios = iter([1.10, 0.96, 0.93, 1.00])
    rounds = matched(line, lambda share: ended(share, next(ratios)), 5.0)
    # From 0.5025 to that over 1.1, times 1.005, which is 0.459; then 0.459 + 0.0435 (1.005 - 0.96) / (1.10 - 0.96).
    assert [each.share for each in rounds[:3]] == pytest.approx([0.5025, 0.459, 0.473], abs=0.001)
    # The two neighbours around the aim are 0.473 and 0.5025 now: 0.473 + 0.0295 (1.005 - 0.93) / (1.10 - 0.93).
    assert rounds[3].share == pytest.approx(0.486, abs=0.001)
