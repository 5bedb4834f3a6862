import pytest

from automl.cli.resume import trial_counts
from automl.core.errors import InputError


@pytest.mark.parametrize(("text", "expected"), [(None, (None, None)), ("60", (60, None)), ("+50", (None, 50))])
def test_a_plus_sign_adds_trials(text: str | None, expected: tuple[int | None, int | None]) -> None:
    assert trial_counts(text) == expected


@pytest.mark.parametrize("text", ["", "+", "0", "+0", "-5", "1.5", "++5", "many"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"such as 60, or \+50"):
        trial_counts(text)
