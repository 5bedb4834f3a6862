"""Bit-widths that layers may have, as the user writes them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from automl.core.errors import InputError

WEIGHT_BITS = range(2, 9)
"""Bits that a weight may have; its grid is symmetric."""
ACTIVATION_BITS = range(4, 9)
"""Bits that an activation may have; its grid starts at the lowest value."""
FLOAT_BITS = 32
INT8 = "8"
"""The bits of `--precision int8`: asked for its speed."""
_LIST = r"[0-9]+(?:-[0-9]+)?(?:,[0-9]+(?:-[0-9]+)?)*"
_GRAMMAR = (
    "Write the bits of weights and activations alike (8 or 4,8), or of each (w2-8a8, w4,8a4,8): weights have "
    f"{WEIGHT_BITS.start} to {WEIGHT_BITS.stop - 1}, activations {ACTIVATION_BITS.start} to {ACTIVATION_BITS.stop - 1}."
)


@dataclass(frozen=True, slots=True)
class BitChoices:
    """The bit-widths that a search may give to a layer."""

    weights: tuple[int, ...]
    """Ascending, each from `WEIGHT_BITS`."""
    activations: tuple[int, ...]
    """Ascending, each from `ACTIVATION_BITS`."""

    @classmethod
    def parse(cls, text: str) -> "BitChoices":
        """Reads `4,8` or `w2-8a8`.

        Raises:
            InputError: If it is neither, or a bit-width is not supported.
        """
        compact = text.replace(" ", "").lower()
        both = re.fullmatch(_LIST, compact)
        each = re.fullmatch(f"w({_LIST})a({_LIST})", compact)
        if both:
            weights = activations = _numbers(compact)
        elif each:
            weights, activations = _numbers(each.group(1)), _numbers(each.group(2))
        else:
            raise InputError(f"`--bits` must be lists of bit-widths, but got {text!r}. {_GRAMMAR}")
        for name, chosen, allowed in (("weights", weights, WEIGHT_BITS), ("activations", activations, ACTIVATION_BITS)):
            bad = [bits for bits in chosen if bits not in allowed]
            if bad or not chosen:
                got = bad[0] if bad else "none"
                raise InputError(f"`--bits` must be supported bit-widths, but {name} got {got} in {text!r}. {_GRAMMAR}")
        return cls(weights, activations)


def stored_bits(weight_bits: int) -> int:
    """Bits that a file takes for a weight: ONNX has integers of 4 and of 8 bits that runtimes read everywhere."""
    if weight_bits == FLOAT_BITS:
        return FLOAT_BITS
    return 4 if weight_bits <= 4 else 8


def first_and_last(bits: int) -> BitChoices:
    """What the first and the last layer get: one bit-width.

    Raises:
        InputError: If it is not supported for weights and activations alike.
    """
    if bits not in WEIGHT_BITS or bits not in ACTIVATION_BITS:
        raise InputError(
            f"`--first-last-bits` must be {ACTIVATION_BITS.start} to {ACTIVATION_BITS.stop - 1}, but got {bits}."
        )
    return BitChoices((bits,), (bits,))


def _numbers(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.split(","):
        low, _, high = part.partition("-")
        if len(low) > 2 or len(high) > 2:
            raise InputError(f"`--bits` must be supported bit-widths, but got {part!r}. {_GRAMMAR}")
        found.update(range(int(low), int(high or low) + 1))
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class BitWidths:
    """Bits of one layer's weights and of the activations that it reads; 32 is float."""

    weight: int = FLOAT_BITS
    activation: int = FLOAT_BITS


def mean_bits(bits: Mapping[str, BitWidths], weights: Mapping[str, int]) -> float:
    """Mean bits of a weight.

    Args:
        bits: Layer -> bit-widths; a layer that is absent is float.
        weights: Layer -> number of its weights.
    """
    total = sum(weights.values())
    return sum(count * bits.get(name, BitWidths()).weight for name, count in weights.items()) / max(total, 1)
