"""How the networks of the final table were timed, and what their calls say by themselves."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from automl.runtime.calls import Summary
from automl.runtime.target import Runtime

TimedName = Literal["dense", "exported", "float"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Calls of several networks in turns, in one process."""

    runtime: Runtime
    """What ran the networks."""
    version: str
    """Its version."""
    cpu: str
    """What the operating system calls the processor."""
    threads: int
    """CPU threads of one call."""
    drift: float
    """By how much the dense network's time moved meanwhile, as a share."""
    networks: Mapping[TimedName, Summary]
    """`dense`, `exported`, and where the file holds integers `float`, the same network without them."""

    def to_json(self) -> dict[str, Any]:
        """Part of `metrics.json`."""
        return asdict(self)
