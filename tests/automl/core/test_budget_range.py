import pytest

from automl.core.budget import Budget, Metric
from automl.core.budget_range import BudgetRange, budgets
from automl.core.errors import BudgetError


def test_a_range_has_a_metric_and_two_ends() -> None:
    assert BudgetRange.parse("flops:0.15..0.6") == BudgetRange(Metric.FLOPS, 0.15, 0.6)
    assert BudgetRange.parse("Size: .2 .. 1") == BudgetRange(Metric.SIZE, 0.2, 1.0)


def test_levels_are_evenly_apart_by_their_logarithms_and_have_the_ends_as_written() -> None:
    # Five levels of a factor of 16: each is twice the one before.
    limits = BudgetRange.parse("params:0.05..0.8").limits()
    assert [limit.value for limit in limits] == [0.05, 0.1, 0.2, 0.4, 0.8]
    assert [limit.text for limit in limits] == ["0.05params", "0.1params", "0.2params", "0.4params", "0.8params"]
    assert all(limit.relative and limit.metric is Metric.PARAMS for limit in limits)


@pytest.mark.parametrize("text", ["flops:0.15..0.6", "bops:1e-05..3e-05", "size:0.3..0.34", "params:0.123456..1"])
def test_levels_rise_and_read_as_budgets(text: str) -> None:
    limits = BudgetRange.parse(text).limits()
    values = [limit.value for limit in limits]
    assert values == sorted(set(values))
    assert [Budget.parse(limit.text).limits[0] for limit in limits] == list(limits)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("flops:0.6..0.15", r"begins with the tightest.*Turn it round: flops:0\.15\.\.0\.6"),
        ("flops:0..0.5", "above 0 and at most 1"),
        ("flops:-0.1..0.5", "above 0 and at most 1"),
        ("flops:0.5..1.5", "above 0 and at most 1"),
        ("flops:nan..0.5", "above 0 and at most 1"),
        ("flops:0.5..0.5", r"1\.1 times the tightest.*`--budget 0\.5flops`"),
        ("flops:0.5", "two ends"),
        ("flops:0.2..x", "two ends"),
        ("0.15..0.6", "metric '0.15..0.6' of the range"),
        ("speed:0.15..0.6", "metric 'speed' of the range.*flops, params, size or bops"),
        ("latency:0.2..0.5", r"would have to be timed.*`--budget 0\.5latency`"),
        ("", "metric '' of the range"),
    ],
)
def test_another_range_is_refused_with_the_way_out(text: str, words: str) -> None:
    with pytest.raises(BudgetError, match=words):
        BudgetRange.parse(text)


def test_without_a_range_there_is_one_budget() -> None:
    assert budgets(("0.25flops,2MB",), None) == (Budget.parse("0.25flops,2MB"),)


def test_other_budgets_hold_beside_each_level() -> None:
    found = budgets(("2MB", "0.5latency"), "flops:0.1..0.9")
    assert [str(budget) for budget in found] == [
        f"{level}flops,2MB,0.5latency" for level in ("0.1", "0.1732", "0.3", "0.5196", "0.9")
    ]


def test_one_metric_has_no_budget_beside_its_range() -> None:
    with pytest.raises(BudgetError, match=r"`--budget 150Mflops` and `--pareto flops:0\.1\.\.0\.9` both limit flops"):
        budgets(("2MB,150Mflops",), "flops:0.1..0.9")
