import pytest

from automl.report.quantity import humanise, percent, share


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (293_870_000, "", "293.87M"),
        (2_408_232, "", "2.41M"),
        (8_100_000, "B", "8.1 MB"),
        (0, "", "0"),
        (999, "", "999"),
        (1_000, "", "1.00k"),
        (999_996, "", "1.00M"),
        (999_990_000, "", "999.99M"),
        (15, "B", "15 B"),
        (999_960, "B", "1.0 MB"),
        (4_100_000_000, "", "4.10G"),
        (3.5e12, "", "3.50T"),
        (0.25, "", "0.25"),
        (-1_500_000, "", "-1.50M"),
    ],
)
def test_numbers_are_rounded_to_a_decimal_prefix(value: float, unit: str, text: str) -> None:
    assert humanise(value, unit) == text


def test_a_fraction_is_a_percentage() -> None:
    assert percent(0.9746) == "97.5%"


def test_a_share_stands_beside_what_it_is_a_share_of() -> None:
    assert share(75_200_000, 300_800_000) == "75.20M (25.0%)"
    assert share(7_100_000, 14_200_000, "B") == "7.1 MB (50.0%)"


@pytest.mark.parametrize("dense", [0, 5])
def test_the_dense_network_has_no_share(dense: int) -> None:
    assert share(5, dense) == "5"
