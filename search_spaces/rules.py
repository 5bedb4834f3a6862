"""What may be pruned, and how far."""

from dataclasses import dataclass

from automl.core.errors import InputError
from automl.core.graph import ModelGraph

WIDE_GROUP = 64
"""Networks whose widest group has at most this many channels need finer steps than `LARGE_MULTIPLE`."""
TIMED_MULTIPLE = 16
"""Where time counts: the kernels of ONNX Runtime and OpenVINO compute 16 channels at a time. Integer depthwise layers
of other widths take 3 to 4 times as long in the first; in the second a depthwise layer of 120 channels takes longer
than one of 128."""
LARGE_MULTIPLE = 8
SMALL_MULTIPLE = 4


@dataclass(frozen=True, slots=True)
class WidthRule:
    """How widths are rounded, and the least that is kept.

    Raises:
        InputError: If the multiple is below 1, or the ratio not in [0, 1].
    """

    multiple: int
    """Kept widths are multiples of this. Runtimes are slow on depthwise layers whose width is not a multiple of 4."""
    least_ratio: float = 0.0
    """Share of each group that always stays, in [0, 1]; one multiple stays in any case."""

    def __post_init__(self) -> None:
        if self.multiple < 1:
            raise InputError(f"`--divisor` must be at least 1, but got {self.multiple}.")
        if not 0.0 <= self.least_ratio <= 1.0:
            raise InputError(f"`--min-keep` must be in [0, 1], but got {self.least_ratio:g}.")


def default_rule(graph: ModelGraph, *, timed: bool = False) -> WidthRule:
    """Multiples of 8, or of 4 where the widest group of `graph` has at most `WIDE_GROUP` channels.

    Args:
        graph: The network.
        timed: Whether its time counts: then multiples of 16 where they would be of 8.
    """
    widest = max((group.channels for group in graph.prunable), default=0)
    if widest <= WIDE_GROUP:
        return WidthRule(SMALL_MULTIPLE)
    return WidthRule(TIMED_MULTIPLE if timed else LARGE_MULTIPLE)
