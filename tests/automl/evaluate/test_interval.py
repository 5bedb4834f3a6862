import numpy as np
import pytest
from numpy.typing import NDArray

from automl.evaluate.interval import paired95


def answers(both: int, only_ours: int, only_theirs: int, neither: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    counts = (both, only_ours, only_theirs, neither)
    ours = np.repeat([True, True, False, False], counts)
    theirs = np.repeat([True, False, True, False], counts)
    return ours, theirs


def test_the_interval_follows_from_the_images_that_one_alone_is_right_on() -> None:
    found = paired95(*answers(60, 9, 4, 25))
    assert (found.images, found.only_ours, found.only_theirs) == (98, 9, 4)
    assert found.difference == pytest.approx(5 / 98)
    # One added to each count: 10 / 100 and 5 / 100; sqrt((0.15 - 0.05^2) / 100) = 0.038406.
    assert found.ci95 == pytest.approx((0.05 - 1.96 * 0.038406, 0.05 + 1.96 * 0.038406), abs=1e-5)
    assert not found.told


def test_what_both_have_right_or_wrong_cancels() -> None:
    assert paired95(*answers(85, 9, 4, 0)).ci95 == paired95(*answers(0, 9, 4, 85)).ci95


def test_a_difference_is_told_where_0_is_outside() -> None:
    assert paired95(*answers(60, 30, 5, 5)).told
    assert paired95(*answers(60, 5, 30, 5)).told


def test_the_same_answers_are_equal() -> None:
    ours, _ = answers(5, 0, 0, 5)
    found = paired95(ours, ours, same=True)
    assert (found.difference, found.ci95, found.same, found.told) == (0.0, (0.0, 0.0), True, False)


def test_answers_that_are_wrong_in_different_ways_leave_some_doubt() -> None:
    low, high = paired95(*answers(5, 0, 0, 5)).ci95
    assert low == -high
    assert high > 0


def test_the_other_way_round_is_the_same_with_the_other_sign() -> None:
    ours, theirs = answers(40, 12, 3, 6)
    there, back = paired95(ours, theirs), paired95(theirs, ours)
    assert back.difference == -there.difference
    assert back.ci95 == pytest.approx((-there.ci95[1], -there.ci95[0]))


@pytest.mark.parametrize("counts", [(0, 1, 0, 0), (0, 0, 50, 0), (0, 200, 0, 1)])
def test_the_ends_are_differences_of_shares_whatever_the_counts(counts: tuple[int, int, int, int]) -> None:
    found = paired95(*answers(*counts))
    assert -1 <= found.ci95[0] <= found.difference <= found.ci95[1] <= 1


def test_about_95_in_100_intervals_have_the_truth_inside() -> None:
    generator = np.random.default_rng(0)
    shares = (0.70, 0.09, 0.05, 0.16)  # ours is better by 0.04
    inside = [
        low <= 0.04 <= high
        for low, high in (paired95(*answers(*generator.multinomial(300, shares))).ci95 for _ in range(1000))
    ]
    assert 0.93 <= np.mean(inside) <= 0.975


def test_answers_to_other_images_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        paired95(np.ones(3, dtype=bool), np.ones(4, dtype=bool))
