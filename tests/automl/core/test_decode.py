from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import pytest

from automl.core.decode import decoded


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Inner:
    share: float
    name: str = "none"


@dataclass(frozen=True)
class Outer:
    count: int
    pair: tuple[float, float]
    inner: tuple[Inner, ...]
    of: Mapping[str, int]
    side: Literal["left", "right"]
    colour: Colour
    perhaps: float | None = None
    yes: bool = False


VALUE: dict[str, Any] = {
    "count": 3,
    "pair": [0, 0.5],
    "inner": [{"share": 1, "name": "x"}, {"share": 0.25}],
    "of": {"a": 1},
    "side": "left",
    "colour": "red",
}


def test_what_fits_becomes_the_type() -> None:
    expected = Outer(3, (0.0, 0.5), (Inner(1.0, "x"), Inner(0.25)), {"a": 1}, "left", Colour.RED)
    assert decoded(Outer, VALUE) == expected
    assert decoded(Outer, {**VALUE, "perhaps": 2, "yes": True}).perhaps == 2.0


@pytest.mark.parametrize(
    "change",
    [
        {"count": True},
        {"count": 3.0},
        {"count": "3"},
        {"count": 2**63},
        {"count": None},
        {"pair": [1.0]},
        {"pair": "01"},
        {"pair": [float("nan"), 0]},
        {"inner": {}},
        {"inner": [{}]},
        {"inner": [{"share": 1, "more": 2}]},
        {"inner": [{"share": float("inf")}]},
        {"of": []},
        {"of": {"a": "1"}},
        {"side": "up"},
        {"side": []},
        {"colour": "green"},
        {"perhaps": "2"},
        {"yes": 1},
        {"unknown": 1},
    ],
)
def test_what_does_not_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        decoded(Outer, {**VALUE, **change})


@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_a_dataclass_is_an_object(value: object) -> None:
    with pytest.raises(ValueError, match="Outer"):
        decoded(Outer, value)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(ValueError, match="'count' is missing"):
        decoded(Outer, {name: value for name, value in VALUE.items() if name != "count"})
