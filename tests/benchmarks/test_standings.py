from dataclasses import replace

import pytest

from benchmarks.contest import Result
from benchmarks.methods import FASTNAS, OURS
from benchmarks.standings import lowest_or_tied, rows, tables

RESULT = Result(0.25, 10.0, 0.80, 0.5, 0.90, 0.2, 0.92, 2000)


def test_targets_compare_with_the_best_peer_seed_by_seed() -> None:
    ours = [RESULT, replace(RESULT, before=0.82, after=0.90)]
    best = [replace(RESULT, before=0.70, after=0.95), replace(RESULT, before=0.71, after=0.94)]
    slow = [replace(RESULT, search_seconds=40.0, before=0.1, after=0.1)] * 2
    found = {("net", 0.25, OURS): ours, ("net", 0.25, "peer"): best, ("net", 0.25, FASTNAS): slow}
    before, after, seconds = rows(found)
    assert (before.baseline, before.held) == ("peer 70.5%", True)
    assert before.compared == pytest.approx(0.105)  # of 0.10 and 0.11
    # -0.05 and -0.04: mean -0.045, standard error 0.005, t(0.975, 1) = 12.706.
    assert after.ci95 == pytest.approx((-0.045 - 12.706 * 0.005, -0.045 + 12.706 * 0.005), abs=1e-5)
    assert after.held is True  # tied: the interval reaches 0
    assert (seconds.compared, seconds.held) == (0.25, True)


def test_a_clear_loss_after_fine_tuning_is_a_missed_target() -> None:
    found = {("net", 0.25, OURS): [RESULT], ("net", 0.25, "peer"): [replace(RESULT, before=0.9, after=0.95)]}
    assert [row.held for row in rows(found)] == [False, False]


def test_tables_list_ours_first_and_the_largest_budget_first() -> None:
    found = {("net", b, name): [RESULT] for b in (0.25, 0.5) for name in ("peer", OURS)}
    (table,) = tables(found)
    assert [line[0] for line in table.rows] == [f"50.0% {OURS}", "50.0% peer", f"25.0% {OURS}", "25.0% peer"]
    assert "92.0%" in table.title


def test_a_lower_score_or_one_within_the_interval_holds() -> None:
    below = lowest_or_tied("score", [0.6, 0.7], "best: peer", [0.7, 0.7])
    assert (below.measured, below.compared) == pytest.approx((0.65, -0.05))
    assert below.held is True
    # 0.01 and 0.05: mean 0.03, standard error 0.02; the interval reaches far below 0.
    assert lowest_or_tied("score", [0.71, 0.75], "best: peer", [0.7, 0.7]).held is True
    assert lowest_or_tied("score", [0.75, 0.7501], "best: peer", [0.7, 0.7]).held is False
    assert lowest_or_tied("score", [0.71], "best: peer", [0.7]).held is False  # one seed has no interval
    assert lowest_or_tied("score", [0.7], "best: peer", [0.7]).held is True
