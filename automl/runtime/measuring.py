"""Times networks on this machine, in a process of their own."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import onnx

from automl.core.errors import AutoMLError, InputError
from automl.runtime.device_profile import DeviceProfile, profile_of
from automl.runtime.host_lock import measuring
from automl.runtime.pack import Pack, write_pack
from automl.runtime.runner import cpu_name
from automl.runtime.target import Runtime


def refuse_without(runtime: Runtime) -> None:
    """Raises `InputError`, which names the extra, where the package of a runtime is not installed."""
    if find_spec(runtime) is None:
        raise InputError(
            f"`--runtime {runtime}` needs the package {runtime}, which is not installed. Install it with "
            f'`pip install "automl-compress[{runtime}]"`, or leave the option out.'
        )


def refuse_elsewhere(profile: DeviceProfile) -> None:
    """Refuses to time beside a profile of another kind of machine; raises `InputError`, which names both.

    Hosts are told apart by their processor: the names of containers change with each start.
    """
    then, now = str(profile.device.get("cpu")), cpu_name()
    if then != now:
        raise InputError(
            f"Times of one run must be those of one machine, but this one was timed on {then} and this is {now}. "
            "Go on there, or start a run for that device from here, with its device.json as `--target`."
        )


def measured(pack: Pack, graphs: Sequence[onnx.ModelProto]) -> DeviceProfile:
    """Runs a pack here.

    A fresh process has no threads of torch that would take the cores, and only its own caches.

    Args:
        pack: What the graphs are.
        graphs: One for each policy of `pack`.

    Raises:
        AutoMLError: If the process fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "pack.zip", Path(folder) / "device.json"
        write_pack(path, pack, graphs)
        with measuring():
            command = [sys.executable, str(path), str(out)]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            reason = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
            raise AutoMLError(
                f"Networks must run in {pack.target.runtime.label} to be timed, but they do not: {reason[-1]}. "
                "Look at `automl doctor`."
            )
        return profile_of(json.loads(out.read_text(encoding="utf-8")))
