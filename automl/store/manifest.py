"""The manifest: where a run ran, and the fingerprint of what it ran on."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import automl
from automl.core.decode import decoded
from automl.core.errors import RunError
from automl.store.files import json_text, read_json

SCHEMA_VERSION = 2
_PACKAGES = ("torch", "torchvision", "timm", "optuna", "onnx", "onnxruntime", "openvino", "numpy")


@dataclass(frozen=True, slots=True)
class Machine:
    """The computer."""

    processor: str
    """Model of the CPU."""
    cores: int
    """CPU cores that this process may use."""
    platform: str
    """Operating system and architecture."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What must not change between a run and its resumption."""

    model: str
    """Model spec."""
    weights: str
    """Digest of the baseline's weights."""
    data: str
    """Digest of the data set."""
    space: str
    """Digest of the traced graph and of the widths allowed."""
    budget: str
    """The limits, as the user wrote them."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One run's circumstances."""

    schema: int
    """Version of this file's layout."""
    packages: dict[str, str]
    """Package -> version."""
    machine: Machine
    seed: int
    """Seed of the run."""
    started: str
    """Local time with its offset, ISO 8601."""
    command: tuple[str, ...]
    """The command line."""
    fingerprint: Fingerprint


def new_manifest(fingerprint: Fingerprint, *, seed: int, command: Sequence[str], started: datetime) -> Manifest:
    """The manifest of a run that starts here and now."""
    return Manifest(
        schema=SCHEMA_VERSION,
        packages=package_versions(),
        machine=this_machine(),
        seed=seed,
        started=started.astimezone().isoformat(timespec="seconds"),
        command=tuple(command),
        fingerprint=fingerprint,
    )


def manifest_text(manifest: Manifest) -> str:
    """`manifest` as JSON."""
    return json_text(asdict(manifest))


def read_manifest(path: Path) -> Manifest:
    """Reads what `manifest_text` gave.

    Raises:
        RunError: If the file is missing, is no manifest, or has the layout of another version.
    """
    try:
        value = read_json(path)
        if value["schema"] == SCHEMA_VERSION:
            return decoded(Manifest, value)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"A run's manifest must be readable, but {path} is not ({error}). Start a new run with `automl search`."
        ) from error
    raise RunError(
        f"This version reads manifests of schema {SCHEMA_VERSION}, but {path} has {value['schema']}. "
        "Resume the run with the version of automl that made it."
    )


def difference(old: Fingerprint, new: Fingerprint) -> list[str]:
    """What changed, one readable line each; empty where nothing did."""
    pairs = [(field.name, getattr(old, field.name), getattr(new, field.name)) for field in fields(Fingerprint)]
    return [f"{name}: was {before}, is now {after}" for name, before, after in pairs if before != after]


def check_fingerprint(old: Fingerprint, new: Fingerprint) -> None:
    """Refuses to go on with a run on something else than it was started on.

    Raises:
        RunError: If model, weights, data, space or budget changed; the difference is shown.
    """
    lines = difference(old, new)
    if lines:
        raise RunError(
            "A resumed run must have the model, data and budget it was started with, but these changed:\n"
            + "\n".join(lines)
            + "\nRestore them, or start a new run with `automl search`."
        )


def package_versions() -> dict[str, str]:
    """Version of automl and of every installed package that can change a result."""
    versions = {"automl": automl.__version__}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def this_machine() -> Machine:
    """The computer that this process runs on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(processor=_processor(), cores=cores, platform=platform.platform())


def _processor() -> str:
    # platform.processor() is empty on most Linux systems.
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
