import numpy as np
import pytest

from automl.core.view import WIDTH, View, lifted

WIDTHS = np.array([0, 1, 8, 15, 16, 17, 32])


@pytest.mark.parametrize(
    ("view", "seen"),
    [
        (WIDTH, [0, 1, 8, 15, 16, 17, 32]),
        (View("padded", 16), [0, 16, 16, 16, 16, 32, 32]),
        (View("odd", 16), [0, 1, 8, 15, 0, 17, 0]),
        (View("padded", 8), [0, 8, 8, 16, 16, 24, 32]),
        (View("alive"), [0, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_a_view_sees_what_its_name_says(view: View, seen: list[float]) -> None:
    for widths in (WIDTHS, WIDTHS.astype(np.float64)):
        assert view(widths).tolist() == seen
        assert view(widths).dtype == np.float64


def test_equal_views_are_one_key() -> None:
    assert {View("padded", 16): 1}[View("padded", 16)] == 1
    assert View("width") == WIDTH


def test_a_view_without_its_multiple_cannot_be_made() -> None:
    for kind, multiple in (("padded", 1), ("odd", 0), ("width", 8), ("alive", 2)):
        with pytest.raises(ValueError, match="padded or odd from 2 on"):
            View(kind, multiple)  # type: ignore[arg-type]


def test_all_views_of_one_group_stand_before_those_of_the_next() -> None:
    views = (WIDTH, View("padded", 16), View("odd", 16))
    assert lifted(np.array([[3, 16], [0, 20]]), views).tolist() == [[3, 16, 3, 16, 16, 0], [0, 0, 0, 20, 32, 20]]
    assert lifted(np.array([[3, 16]]), (WIDTH,)).tolist() == [[3, 16]]
