"""A device profile of times that another tool measured."""

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from automl.core.errors import InputError
from automl.runtime.device_profile import FORMAT, DeviceProfile
from automl.runtime.target import Target, runtime_called
from automl.runtime.times_file import read_times
from automl.store.files import parsed_json

_MOST_BYTES = 2**28
"""Of `pack.json`; one of a large network has some hundred kilobytes."""


def imported(times: Path, pack: Path, device_name: str, tool: str) -> DeviceProfile:
    """Puts the times of a pack's networks beside what the networks are.

    Args:
        times: CSV file, as `read_times` reads it.
        pack: Zip file of the networks, from `write_pack`.
        device_name: What the device is called.
        tool: What timed the networks, with its version.

    Raises:
        InputError: If one of the files is not what it must be, or they do not fit.
    """
    content = _content(pack)
    try:
        target = Target.from_json(content)
        policies = tuple({str(group): int(kept) for group, kept in policy.items()} for policy in content["policies"])
        reference = range(len(policies)).index(int(content["reference"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _no_pack(pack, f"its pack.json is not whole ({type(error).__name__}: {error})") from error
    return DeviceProfile(
        target=replace(target, runtime=runtime_called(tool)),
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        device={"name": device_name},
        runtime=tool,
        version="",
        policies=policies,
        reference=reference,
        times=read_times(times, len(policies)),
    )


def _content(path: Path) -> Mapping[str, Any]:
    """`pack.json` of a pack."""
    if not path.is_file():  # zipfile reads a device to its end, and some have none
        raise _no_pack(path, "there is no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            content = parsed_json(_text(archive, "pack.json"))
    except (OSError, EOFError, KeyError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise _no_pack(path, str(error)) from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise _no_pack(path, f"its format is {found!r} and not {FORMAT!r}")
    return dict(content)


def _text(archive: zipfile.ZipFile, name: str) -> str:
    size = archive.getinfo(name).file_size
    if size > _MOST_BYTES:  # a few kilobytes of a zip file may be any number of gigabytes
        raise ValueError(f"its {name} has {size:,} bytes")
    return archive.read(name).decode()


def _no_pack(path: Path, reason: str) -> InputError:
    return InputError(
        f"`--pack` must be a file that `automl profile --out pack.zip` wrote, but {path} is none: {reason}. Give the "
        "pack whose networks were timed."
    )
