import pytest
from scipy.stats import spearmanr

from benchmarks.interval import mean95, median95, paired95, rank_correlation95


def test_the_means_interval_is_students() -> None:
    # Standard deviation 1, standard error 1/sqrt(3); t(0.975, 2 degrees of freedom) = 4.302653.
    estimate = mean95([1.0, 2.0, 3.0])
    assert estimate.value == 2.0
    assert estimate.ci95 == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))


def test_one_repetition_has_no_interval() -> None:
    assert mean95([0.5]).ci95 is None
    assert median95([0.5]).ci95 is None


def test_differences_are_taken_seed_by_seed() -> None:
    # Both vary a lot, their difference does not: 0.1, 0.1, 0.1.
    estimate = paired95([0.2, 0.6, 1.0], [0.1, 0.5, 0.9])
    assert estimate.value == pytest.approx(0.1)
    assert estimate.ci95 == pytest.approx((0.1, 0.1))


def test_pairs_must_be_complete() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired95([0.1, 0.2], [0.1])


def test_the_medians_interval_lies_within_the_values() -> None:
    estimate = median95([1.0, 2.0, 3.0, 4.0, 100.0])
    assert estimate.value == 3.0
    assert estimate.ci95 is not None
    assert 1.0 <= estimate.ci95[0] <= 3.0 <= estimate.ci95[1] <= 100.0


def test_the_same_order_correlates_fully_and_the_opposite_one_inversely() -> None:
    values = [0.1, 0.4, 0.5, 0.8]
    assert rank_correlation95(values, [each**3 for each in values]).value == pytest.approx(1.0)
    assert rank_correlation95(values, [-each for each in values]).value == pytest.approx(-1.0)


def test_the_correlation_is_scipys() -> None:
    first, second = [0.1, 0.4, 0.4, 0.8, 0.2], [3.0, 1.0, 2.0, 5.0, 4.0]
    estimate = rank_correlation95(first, second)
    assert estimate.value == pytest.approx(float(spearmanr(first, second).statistic))
    assert estimate.ci95 is not None
    assert -1.0 <= estimate.ci95[0] <= estimate.value <= estimate.ci95[1] <= 1.0


def test_a_score_that_tells_nothing_apart_does_not_correlate() -> None:
    assert rank_correlation95([1.0, 1.0, 1.0], [0.1, 0.2, 0.3]).value == 0.0
