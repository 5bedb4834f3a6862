"""What is timed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Precision = Literal["fp32", "int8"]


@dataclass(frozen=True, slots=True)
class Target:
    """What times are about: one architecture, input, precision and number of threads."""

    arch: str
    """Model spec."""
    graph: str
    """Digest of the traced network."""
    input: tuple[int, int, int]
    """(channels, height, width) of one image."""
    precision: Precision
    """Of the arithmetic of every layer that has integer kernels."""
    threads: int
    """CPU threads of one call."""

    def to_json(self) -> dict[str, Any]:
        """Part of a device profile."""
        return {**asdict(self), "input": list(self.input)}

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> "Target":
        """Reads what `to_json` gave; raises `KeyError`, `TypeError` or `ValueError` where something is missing."""
        channels, height, width = (int(size) for size in table["input"])
        precision = next((each for each in get_args(Precision) if each == table["precision"]), None)
        if precision is None:
            raise ValueError(f"the precision is {table['precision']!r}")
        size = (channels, height, width)
        return cls(str(table["arch"]), str(table["graph"]), size, precision, int(table["threads"]))
