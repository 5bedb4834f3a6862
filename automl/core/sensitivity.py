"""The sensitivity table: what each width of each channel group costs in divergence, one group at a time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.core.errors import InputError

_LARGEST_LOG_MULTIPLIER = 30.0
"""Beyond e^30 the loss of one group hides every other one's digits."""


@dataclass(frozen=True, slots=True)
class SensitivityTable:
    """Losses of the network with one group narrowed and all others whole; their sum predicts the loss of a policy."""

    groups: tuple[str, ...]
    """Channel groups, in the order of `problem.knobs`."""
    widths: tuple[tuple[int, ...], ...]
    """For each group the channels kept, ascending; the last one is the whole group, a first 0 drops its branch."""
    losses: tuple[tuple[float, ...], ...]
    """For each width the loss in nats: finite, at least 0, and not growing with the width."""

    def __post_init__(self) -> None:
        if not len(self.groups) == len(self.widths) == len(self.losses):
            raise InputError(
                f"A sensitivity table must have widths and losses for every group, but has {len(self.groups)} groups, "
                f"{len(self.widths)} rows of widths and {len(self.losses)} of losses. Build it again."
            )
        for group, widths, losses in zip(self.groups, self.widths, self.losses, strict=True):
            _check_row(group, widths, losses)

    def loss(self, channels: Mapping[str, int]) -> float:
        """The predicted loss of a policy, in nats.

        Args:
            channels: Channel group -> channels kept. A group that is absent is whole. One at 0 whose row has no 0 goes
                with another group's branch, whose row has the whole loss.

        Raises:
            InputError: If a width is not in the table.
        """
        total = 0.0
        for group, widths, losses in zip(self.groups, self.widths, self.losses, strict=True):
            kept = channels.get(group, widths[-1])
            if kept in widths:
                total += losses[widths.index(kept)]
            elif kept != 0:
                raise InputError(
                    f"A policy must keep a width of the sensitivity table, but it keeps {kept} channels of {group!r}. "
                    f"Choose one of {', '.join(map(str, widths))}."
                )
        return total

    def multiplied(self, log_multipliers: NDArray[np.float64]) -> "SensitivityTable":
        """The table with the losses of group g multiplied by `exp(log_multipliers[g])` (SPDY, Frantar & Alistarh 2022).

        Args:
            log_multipliers: Shape `(groups,)`; not a number counts as 0, and the size is bounded by 30.
        """
        factors = multipliers(log_multipliers).tolist()
        losses = (tuple(loss * by for loss in row) for row, by in zip(self.losses, factors, strict=True))
        return SensitivityTable(self.groups, self.widths, tuple(losses))

    def to_json(self) -> dict[str, Any]:
        """The table as plain JSON values."""
        return {
            "groups": list(self.groups),
            "widths": [list(row) for row in self.widths],
            "losses": [list(row) for row in self.losses],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SensitivityTable":
        """Reads what `to_json` gave.

        Raises:
            InputError: If it is not such a table.
        """
        try:
            groups = tuple(str(name) for name in values["groups"])
            widths = tuple(tuple(int(width) for width in row) for row in values["widths"])
            losses = tuple(tuple(float(loss) for loss in row) for row in values["losses"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "A sensitivity table must hold 'groups', 'widths' and 'losses' as lists, but it does not "
                f"({type(error).__name__}: {error}). Delete the file, and the next run builds it again."
            ) from error
        return cls(groups, widths, losses)


def multipliers(log_multipliers: NDArray[np.float64]) -> NDArray[np.float64]:
    """`exp(log_multipliers)` with the bounds that `SensitivityTable.multiplied` states."""
    bounded = np.clip(np.nan_to_num(log_multipliers), -_LARGEST_LOG_MULTIPLIER, _LARGEST_LOG_MULTIPLIER)
    return np.asarray(np.exp(bounded), dtype=np.float64)


def _check_row(group: str, widths: Sequence[int], losses: Sequence[float]) -> None:
    again = "Build the table again."
    if not widths or len(widths) != len(losses):
        raise InputError(
            f"A sensitivity table must have one loss per width, but {group!r} has {len(widths)} widths and "
            f"{len(losses)} losses. {again}"
        )
    if widths[0] < 0 or any(narrow >= wide for narrow, wide in pairwise(widths)):
        raise InputError(
            f"The widths of a sensitivity table must ascend from 0 or more, but {group!r} has {widths}. {again}"
        )
    bad = [loss for loss in losses if not (math.isfinite(loss) and loss >= 0)]
    if bad:
        raise InputError(
            f"The losses of a sensitivity table must be finite and at least 0, but {group!r} has {bad[0]}. {again}"
        )
    if any(narrow < wide for narrow, wide in pairwise(losses)):
        raise InputError(
            f"The losses of a sensitivity table must not grow with the width, but those of {group!r} do. {again}"
        )
