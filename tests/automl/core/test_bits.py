import pytest

from automl.core.bits import BitChoices, BitWidths, first_and_last, mean_bits, stored_bits
from automl.core.errors import InputError


@pytest.mark.parametrize(
    ("text", "weights", "activations"),
    [
        ("8", (8,), (8,)),
        ("4,8", (4, 8), (4, 8)),
        ("8, 4", (4, 8), (4, 8)),
        ("w2-8a8", (2, 3, 4, 5, 6, 7, 8), (8,)),
        ("w4,8a4-6,8", (4, 8), (4, 5, 6, 8)),
        ("W4A8", (4,), (8,)),
    ],
)
def test_bits_are_read_as_the_user_writes_them(
    text: str, weights: tuple[int, ...], activations: tuple[int, ...]
) -> None:
    assert BitChoices.parse(text) == BitChoices(weights, activations)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "lists of bit-widths"),
        ("four", "lists of bit-widths"),
        ("w4", "lists of bit-widths"),
        ("a8w4", "lists of bit-widths"),
        ("1", "weights got 1"),
        ("2,8", "activations got 2"),
        ("16", "weights got 16"),
        ("w8a3", "activations got 3"),
        ("8-4", "weights got none"),
        ("0-99999999999", "99999999999"),
    ],
)
def test_bits_that_nothing_supports_are_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        BitChoices.parse(text)


@pytest.mark.parametrize(("bits", "stored"), [(2, 4), (3, 4), (4, 4), (5, 8), (8, 8), (32, 32)])
def test_a_file_stores_weights_in_4_or_8_bits(bits: int, stored: int) -> None:
    assert stored_bits(bits) == stored


@pytest.mark.parametrize("bits", [3, 9, 32])
def test_the_ends_have_bits_that_activations_can_have(bits: int) -> None:
    with pytest.raises(InputError, match=f"got {bits}"):
        first_and_last(bits)


def test_mean_bits_weigh_layers_by_their_weights() -> None:
    bits = {"a": BitWidths(8, 8), "b": BitWidths(4, 8)}
    assert mean_bits(bits, {"a": 100, "b": 300}) == 5.0
    assert mean_bits(bits, {"a": 100, "float": 100}) == 20.0
