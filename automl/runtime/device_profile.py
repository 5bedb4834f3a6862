"""`device.json`: what was measured on one device, by our runner or by another tool."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.core.errors import InputError
from automl.runtime.call_times import CallTimes
from automl.runtime.table_times import TableTimes
from automl.runtime.target import Runtime, Target
from automl.store.files import read_json, write_text

FORMAT = "automl-device-profile/1"
_WAY_OUT = (
    "Run the pack again on the device (`python pack.zip device.json`) and copy the whole file; or import another "
    "tool's times again (`automl profile --times`)."
)
Times = CallTimes | TableTimes


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """Times of whole networks on one device."""

    target: Target
    created: str
    """When it was measured, ISO 8601."""
    device: Mapping[str, Any]
    """What is known of the machine: its name; from our runner also machine, cpu, cores, affinity, os."""
    runtime: str
    """Name of what ran the networks."""
    version: str
    """Its version; empty where it is part of the name."""
    policies: tuple[Mapping[str, int], ...]
    """For each network the channels of every group; the first is the dense network, the anchor."""
    reference: int
    """Number of the dense network in float, which fractions of the latency refer to."""
    times: Times
    """Of each network."""

    @property
    def clean(self) -> float | None:
        """Share of all calls that nothing interrupted, in [0, 1]; None where it is not known."""
        return self.times.clean

    @property
    def drift(self) -> float | None:
        """By how much the dense network's time moved meanwhile, as a share; None where it is not known."""
        return self.times.drift

    @property
    def release(self) -> str:
        """The version without its build, which OpenVINO goes on with."""
        return self.version.split("-")[0]

    def to_json(self) -> dict[str, Any]:
        """The layout of `device.json`."""
        return {
            "format": FORMAT,
            **self.target.to_json(),
            "created": self.created,
            "device": dict(self.device),
            "runtime": {"name": self.runtime, "version": self.version},
            "policies": [dict(policy) for policy in self.policies],
            "reference": self.reference,
            "kind": self.times.kind,
            self.times.kind: self.times.to_json(),
        }

    def latency_ms(self) -> NDArray[np.float64]:
        """Shape `(policies,)`: each network's milliseconds."""
        return self.times.latency_ms()


def read_profile(path: Path) -> DeviceProfile:
    """Reads `device.json`.

    Raises:
        InputError: If the file is missing, truncated, or of another format.
    """
    try:
        table = read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(f"A device profile must be readable JSON, but {path} is not: {error}. {_WAY_OUT}") from error
    found = table.get("format") if isinstance(table, dict) else None
    if found != FORMAT:
        raise InputError(f"A device profile has the format {FORMAT!r}, but {path} has {found!r}. {_WAY_OUT}")
    try:
        return profile_of(table)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(
            f"A device profile must be whole, but {path} is not ({type(error).__name__}: {error}). {_WAY_OUT}"
        ) from error


def profile_of(table: Mapping[str, Any]) -> DeviceProfile:
    """The profile in `table`.

    Raises:
        KeyError, TypeError, ValueError, IndexError, AttributeError: Where it is none.
    """
    policies = tuple({str(group): int(kept) for group, kept in policy.items()} for policy in table["policies"])
    return DeviceProfile(
        target=Target.from_json(table),
        created=str(table["created"]),
        device=dict(table["device"]),
        runtime=str(table["runtime"]["name"]),
        version=str(table["runtime"]["version"]),
        policies=policies,
        reference=range(len(policies)).index(int(table["reference"])),
        times=_times_of(table, len(policies)),
    )


def _times_of(table: Mapping[str, Any], networks: int) -> Times:
    match table.get("kind", CallTimes.kind):  # the runner on a device leaves it out
        case CallTimes.kind:
            if Target.from_json(table).runtime is Runtime.OTHER:
                raise ValueError(f"the runtime is {table['runtime']['name']!r}")
            return CallTimes.of(table[CallTimes.kind], networks)
        case TableTimes.kind:
            return TableTimes.of(table[TableTimes.kind], networks)
        case other:
            raise ValueError(f"the kind is {other!r}")


def write_profile(path: Path, profile: DeviceProfile) -> None:
    """Writes `profile` as `device.json`, whole or not at all; raises `RunError` where the disk refuses."""
    write_text(path, profile_text(profile))


def profile_text(profile: DeviceProfile) -> str:
    """`profile` as the JSON of a `device.json`."""
    return json.dumps(profile.to_json())
