"""`device.json`: what was measured on one device, as the runner writes it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.core.errors import InputError
from automl.runtime.calls import Calls, Summary
from automl.runtime.target import Target
from automl.store.files import write_text

FORMAT = "automl-device-profile/1"
_WAY_OUT = "Run the pack again on the device (`python pack.zip device.json`) and copy the whole file."


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """Times of whole networks on one device."""

    target: Target
    created: str
    """When it was measured, ISO 8601."""
    device: Mapping[str, Any]
    """What the runner found out of the machine: name, machine, cpu, cores, affinity, os."""
    runtime: str
    """Name of what ran the networks."""
    version: str
    """Its version."""
    policies: tuple[Mapping[str, int], ...]
    """For each network the channels of every group; the first is the dense network, the anchor."""
    reference: int
    """Number of the dense network in float, which fractions of the latency refer to."""
    batches: tuple[Calls, ...]
    """Networks that were open at the same time, the anchor among them."""

    @property
    def clean(self) -> float:
        """Share of all calls that nothing interrupted, in [0, 1]."""
        return float(np.concatenate([calls.clean for calls in self.batches]).mean())

    @property
    def drift(self) -> float:
        """By how much the anchor's time moved within a batch, as a share; of the worst batch."""
        return max(calls.drift for calls in self.batches)

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
            "calls": [calls.to_json() for calls in self.batches],
        }

    def summary(self, number: int) -> Summary:
        """What the calls of one network say by themselves, those of all batches together."""
        return Calls.joined(self.batches).summary(number)

    def latency_ms(self) -> NDArray[np.float64]:
        """Shape `(policies,)`: each network's milliseconds where nothing else is going on, about."""
        quiet_ms = float(np.median([calls.summary(0).p10_ms for calls in self.batches]))
        ratios: dict[int, list[float]] = {number: [] for number in range(len(self.policies))}
        for calls in self.batches:
            for number, ratio in calls.relative().items():
                ratios[number].append(ratio)
        return quiet_ms * np.array([np.median(found) for found in ratios.values()])


def read_profile(path: Path) -> DeviceProfile:
    """Reads what a runner wrote.

    Raises:
        InputError: If the file is missing, truncated, or of another format.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"A device profile must be readable JSON, but {path} is not: {error}. {_WAY_OUT}") from error
    found = table.get("format") if isinstance(table, dict) else None
    if found != FORMAT:
        raise InputError(f"A device profile has the format {FORMAT!r}, but {path} has {found!r}. {_WAY_OUT}")
    try:
        return profile_of(table)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"A device profile must be whole, but {path} is not ({type(error).__name__}: {error}). {_WAY_OUT}"
        ) from error


def profile_of(table: Mapping[str, Any]) -> DeviceProfile:
    """The profile in `table`; raises `KeyError`, `TypeError`, `ValueError` or `IndexError` where it is none."""
    policies = tuple({str(group): int(kept) for group, kept in policy.items()} for policy in table["policies"])
    batches = tuple(Calls.of(rows) for rows in table["calls"])
    if {number for calls in batches for number in calls.numbers} != set(range(len(policies))):
        raise ValueError("a network has no time")
    if not all(0 in calls.numbers for calls in batches):
        raise ValueError("a batch has no anchor")
    return DeviceProfile(
        target=Target.from_json(table),
        created=str(table["created"]),
        device=dict(table["device"]),
        runtime=str(table["runtime"]["name"]),
        version=str(table["runtime"]["version"]),
        policies=policies,
        reference=range(len(policies)).index(int(table["reference"])),
        batches=batches,
    )


def write_profile(path: Path, profile: DeviceProfile) -> None:
    """Writes `profile` as the runner does, whole or not at all; raises `RunError` where the disk refuses."""
    write_text(path, json.dumps(profile.to_json()))
