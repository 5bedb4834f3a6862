import pytest

from automl.core.budget import Budget, Limit, Metric
from automl.core.cost import Cost
from automl.core.errors import BudgetError

DENSE = Cost(macs=1000, params=200, size_bytes=800, bops=1000 * 1024)


@pytest.mark.parametrize(
    ("text", "metric", "value", "relative"),
    [
        ("0.25flops", Metric.FLOPS, 0.25, True),
        ("0.3params", Metric.PARAMS, 0.3, True),
        ("0.2size", Metric.SIZE, 0.2, True),
        ("0.5latency", Metric.LATENCY, 0.5, True),
        ("0.1bops", Metric.BOPS, 0.1, True),
        ("150Mflops", Metric.FLOPS, 150e6, False),
        ("300MFLOPs", Metric.FLOPS, 300e6, False),
        ("1.2Mparams", Metric.PARAMS, 1.2e6, False),
        ("2MB", Metric.SIZE, 2e6, False),
        ("0.5MB", Metric.SIZE, 0.5e6, False),
        ("800kB", Metric.SIZE, 800e3, False),
        ("5ms", Metric.LATENCY, 5.0, False),
        ("8Gbops", Metric.BOPS, 8e9, False),
        ("1flops", Metric.FLOPS, 1.0, True),
    ],
)
def test_each_unit_parses(text: str, metric: Metric, value: float, relative: bool) -> None:
    (limit,) = Budget.parse(text).limits
    assert limit == Limit(metric, limit.value, relative, text)
    assert limit.value == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    ["", ",", "0flops", "-0.5flops", "1.5flops", "flops", "0.5", "0.5flop5", "x25flops", "1.2.3flops", "3Tflops"],
)
def test_what_is_not_a_budget_is_refused_with_the_grammar(text: str) -> None:
    with pytest.raises(BudgetError, match=r"0\.25flops"):
        Budget.parse(text)


@pytest.mark.parametrize("text", ["0.25\nflops", "0.25\tflops", "0.25flop\u017f", "2\u212ab", "\uff11flops"])
def test_letters_digits_and_blanks_are_those_of_ascii(text: str) -> None:
    with pytest.raises(BudgetError, match="a number and a unit"):
        Budget.parse(text)


@pytest.mark.parametrize("text", ["5gms", "2ks", "5kus", "3mlatency", "0.5ksize"])
def test_times_and_fractions_have_no_prefix(text: str) -> None:
    with pytest.raises(BudgetError, match="is unknown"):
        Budget.parse(text)


@pytest.mark.parametrize("text", ["1e999flops", "9e15Gflops", "1e-320flops", "9" * 400 + "ms"])
def test_numbers_from_which_nothing_can_be_computed_are_refused(text: str) -> None:
    with pytest.raises(BudgetError, match=r"a number of 1e-12 to 1e\+15"):
        Budget.parse(text)


def test_several_budgets_join_by_comma_or_by_repeating() -> None:
    assert Budget.parse("0.5flops,2MB") == Budget.parse(["0.5flops", "2MB"])
    assert str(Budget.parse(["0.5flops", "2MB"])) == "0.5flops,2MB"


def test_the_tightest_limit_decides() -> None:
    # 400 of 500 MACs is 0.8; 90 of 100 parameters is 0.9.
    cost = Cost(macs=400, params=90, size_bytes=360, bops=0)
    assert Budget.parse("0.5flops,0.5params").used(cost, DENSE) == pytest.approx(0.9)


def test_a_cost_at_the_limit_satisfies_and_one_above_does_not() -> None:
    budget = Budget.parse("0.5flops")
    assert budget.satisfied_by(Cost(500, 0, 0, 0), DENSE)
    assert not budget.satisfied_by(Cost(501, 0, 0, 0), DENSE)


@pytest.mark.parametrize("text", ["5ms", "0.5latency"])
def test_a_latency_budget_without_a_known_device_is_refused(text: str) -> None:
    with pytest.raises(BudgetError, match="measured latency"):
        Budget.parse(text).limits[0].absolute(DENSE)


def test_a_latency_budget_is_met_or_not_by_fractions_of_a_millisecond() -> None:
    dense, cost = (Cost(1000, 200, 800, 1000, latency_ms=ms) for ms in (4.0, 2.1))
    assert Budget.parse("2.2ms").satisfied_by(cost, dense)
    assert not Budget.parse("0.52latency").satisfied_by(cost, dense)
    assert Budget.parse("0.6latency").used(cost, dense) == pytest.approx(2.1 / 2.4)


@pytest.mark.parametrize(("value", "text"), [(4.1349, "4.13 ms"), (0.01234, "0.0123 ms"), (1250.4, "1,250 ms")])
def test_messages_have_milliseconds_with_fractions(value: float, text: str) -> None:
    assert Metric.LATENCY.text(value) == text
    assert Metric.FLOPS.text(1234.0) == "1,234 flops"
