"""Times of networks that another tool measured: one number for each, or one for each of its layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from automl.core.errors import InputError
from automl.core.limits import LEAST_MS, MOST_MS

NetworkTime = float | Mapping[str, float]
"""Milliseconds of a network, or layer -> milliseconds."""


@dataclass(frozen=True, slots=True)
class TableTimes:
    """A table of times. Nothing is known of how quiet the device was."""

    kind: ClassVar[str] = "table"
    """What a device profile calls such times."""
    clean: ClassVar[None] = None
    """Share of calls that nothing interrupted: not known."""
    drift: ClassVar[None] = None
    """By how much the device's speed moved: not known."""
    networks: tuple[NetworkTime, ...]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], networks: int) -> "TableTimes":
        """Reads what `to_json` gave, one row for each of `networks`.

        Raises:
            KeyError, TypeError, ValueError: Where a time is missing or is not above 0.
        """
        if len(rows) != networks:
            raise ValueError(f"{networks} networks have {len(rows)} times")
        return cls(tuple(_time_of(row) for row in rows))

    def to_json(self) -> list[dict[str, Any]]:
        """`{"ms": 12.3}` or `{"layers": {"name": 1.2, ...}}` for each network."""
        return [{"layers": dict(time)} if isinstance(time, Mapping) else {"ms": time} for time in self.networks]

    def latency_ms(self) -> NDArray[np.float64]:
        """Shape `(networks,)`: milliseconds of each network, the sum over its layers where these are known."""
        return np.array([sum(time.values()) if isinstance(time, Mapping) else time for time in self.networks])

    def layers_ms(self, names: Sequence[str], numbers: Sequence[int]) -> NDArray[np.float64] | None:
        """Shape `(numbers, names)`: milliseconds of the layers that are called so; None where there are no such times.

        Args:
            names: All layers of the network.
            numbers: Of the networks.

        Raises:
            InputError: If a network has times of some layers and none of others, so that its sum would be too small.
        """
        tables = [time if isinstance(time, Mapping) else {} for time in map(self.networks.__getitem__, numbers)]
        for number, table in zip(numbers, tables, strict=True):
            missing = [name for name in names if name not in table]
            if 0 < len(missing) < len(names):
                raise InputError(
                    f"A table must have the times of all {len(names)} layers of a network or of none, but network "
                    f"{number} lacks {len(missing)}, such as {missing[0]!r}. Add them, or give sums over each network."
                )
        if any(names[0] not in table for table in tables):
            return None
        return np.array([[table[name] for name in names] for table in tables])


def _time_of(row: Mapping[str, Any]) -> NetworkTime:
    if "ms" in row:
        if "layers" in row:
            raise ValueError("a network has both `ms` and `layers`")
        return _above_0(row["ms"])
    if not row["layers"]:
        raise ValueError("a network has no layers")
    return {str(name): _above_0(ms) for name, ms in row["layers"].items()}


def _above_0(value: Any) -> float:
    ms = float(value)
    if not LEAST_MS <= ms <= MOST_MS:
        raise ValueError(f"milliseconds must be above 0, and one is {value!r}")
    return ms
