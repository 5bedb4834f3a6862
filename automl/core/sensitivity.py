"""The sensitivity table: what each choice of each knob costs in divergence, one knob at a time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.core.decode import decoded
from automl.core.errors import InputError

_LARGEST_LOG_MULTIPLIER = 30.0
"""Beyond e^30 the loss of one knob hides every other one's digits."""


@dataclass(frozen=True, slots=True)
class SensitivityTable:
    """Losses of the network with one knob turned and all others untouched; their sum predicts the loss of a policy."""

    knobs: tuple[str, ...]
    """Names of the knobs, in the order of `problem.knobs`."""
    choices: tuple[tuple[int, ...], ...]
    """For each knob the channels kept, or the bits, ascending; a first 0 drops the group's branch."""
    losses: tuple[tuple[float, ...], ...]
    """For each choice the loss in nats: finite, at least 0, and not growing with the choice."""

    def __post_init__(self) -> None:
        if not len(self.knobs) == len(self.choices) == len(self.losses):
            raise InputError(
                f"A sensitivity table must have choices and losses for every knob, but has {len(self.knobs)} knobs, "
                f"{len(self.choices)} rows of choices and {len(self.losses)} of losses. Build it again."
            )
        for knob, choices, losses in zip(self.knobs, self.choices, self.losses, strict=True):
            _check_row(knob, choices, losses)

    def loss(self, values: Mapping[str, int]) -> float:
        """The predicted loss of a policy, in nats.

        Args:
            values: Knob -> choice, from `core.knob.values`. A knob that is absent is untouched. One at 0 whose row has
                no 0 goes with another group's branch, whose row has the whole loss.

        Raises:
            InputError: If a choice is not in the table.
        """
        return sum(
            self.parts([values.get(knob, choices[-1]) for knob, choices in zip(self.knobs, self.choices, strict=True)])
        )

    def parts(self, values: Sequence[int]) -> list[float]:
        """What each knob adds to the loss of a policy, in nats.

        Args:
            values: One per knob, in the order of `knobs`; 0 in a row without it is 0 loss, as `loss` says.

        Raises:
            InputError: If a choice is not in the table.
        """
        found = []
        for knob, choices, losses, chosen in zip(self.knobs, self.choices, self.losses, values, strict=True):
            if chosen not in choices and chosen != 0:
                raise InputError(
                    f"A policy must have choices of the sensitivity table, but it has {chosen} for {knob!r}. "
                    f"Choose one of {', '.join(map(str, choices))}."
                )
            found.append(losses[choices.index(chosen)] if chosen in choices else 0.0)
        return found

    def multiplied(self, log_multipliers: NDArray[np.float64]) -> "SensitivityTable":
        """The table with the losses of knob k multiplied by `exp(log_multipliers[k])` (SPDY, Frantar & Alistarh 2022).

        Args:
            log_multipliers: Shape `(knobs,)`; not a number counts as 0, and the size is bounded by 30.
        """
        factors = multipliers(log_multipliers).tolist()
        losses = (tuple(loss * by for loss in row) for row, by in zip(self.losses, factors, strict=True))
        return SensitivityTable(self.knobs, self.choices, tuple(losses))

    def to_json(self) -> dict[str, Any]:
        """The table as plain JSON values."""
        return {
            "knobs": list(self.knobs),
            "choices": [list(row) for row in self.choices],
            "losses": [list(row) for row in self.losses],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SensitivityTable":
        """Reads what `to_json` gave.

        Raises:
            InputError: If it is not such a table.
        """
        try:
            return decoded(cls, values)
        except InputError:
            raise
        except ValueError as error:
            raise InputError(
                "A sensitivity table must hold 'knobs', 'choices' and 'losses' as lists, but it does not "
                f"({error}). Delete the file, and the next run builds it again."
            ) from error


def multipliers(log_multipliers: NDArray[np.float64]) -> NDArray[np.float64]:
    """`exp(log_multipliers)` with the bounds that `SensitivityTable.multiplied` states."""
    bounded = np.clip(np.nan_to_num(log_multipliers), -_LARGEST_LOG_MULTIPLIER, _LARGEST_LOG_MULTIPLIER)
    return np.asarray(np.exp(bounded), dtype=np.float64)


def _check_row(knob: str, choices: Sequence[int], losses: Sequence[float]) -> None:
    again = "Build the table again."
    if not choices or len(choices) != len(losses):
        raise InputError(
            f"A sensitivity table must have one loss per choice, but {knob!r} has {len(choices)} choices and "
            f"{len(losses)} losses. {again}"
        )
    if choices[0] < 0 or any(less >= more for less, more in pairwise(choices)):
        raise InputError(
            f"The choices of a sensitivity table must ascend from 0 or more, but {knob!r} has {choices}. {again}"
        )
    bad = [loss for loss in losses if not (math.isfinite(loss) and loss >= 0)]
    if bad:
        raise InputError(
            f"The losses of a sensitivity table must be finite and at least 0, but {knob!r} has {bad[0]}. {again}"
        )
    if any(less < more for less, more in pairwise(losses)):
        raise InputError(
            f"The losses of a sensitivity table must not grow with the choice, but those of {knob!r} do. {again}"
        )
