"""What may be pruned, and how far."""

from dataclasses import dataclass

from automl.core.errors import InputError
from automl.core.graph import ModelGraph

WIDE_GROUP = 64
"""Networks whose widest group has at most this many channels need finer steps than `LARGE_MULTIPLE`."""
LARGE_MULTIPLE = 8
SMALL_MULTIPLE = 4


@dataclass(frozen=True, slots=True)
class WidthRule:
    """How widths are rounded, and the least that is kept."""

    multiple: int
    """Kept widths are multiples of this. Runtimes are slow on depthwise layers whose width is not a multiple of 4."""
    least_ratio: float = 0.0
    """Share of each group that always stays, in [0, 1]; one multiple stays in any case."""

    def __post_init__(self) -> None:
        if self.multiple < 1:
            raise InputError(f"`--channel-multiple` must be at least 1, but got {self.multiple}.")
        if not 0.0 <= self.least_ratio <= 1.0:
            raise InputError(f"`--min-keep` must be in [0, 1], but got {self.least_ratio:g}.")


def default_rule(graph: ModelGraph) -> WidthRule:
    """Multiples of 8, or of 4 where the widest group of `graph` has at most `WIDE_GROUP` channels."""
    widest = max((group.channels for group in graph.prunable), default=0)
    return WidthRule(LARGE_MULTIPLE if widest > WIDE_GROUP else SMALL_MULTIPLE)
