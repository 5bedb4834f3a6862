"""Times the networks of a pack on this machine: `python pack.zip device.json`.

This file is the pack's `__main__.py`. It needs Python 3.9, numpy and onnxruntime, and nothing else.
"""

from __future__ import annotations

import json
import os
import platform
import random
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

try:
    import resource
except ImportError:  # Windows does not say when a call was interrupted
    resource = None  # type: ignore[assignment]


def interruptions() -> int:
    """Context switches that were forced on this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw if resource else 0


def opened(content: bytes, threads: int) -> Any:
    """A session on the CPU."""
    options = ort.SessionOptions()  # type: ignore[attr-defined]
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 4
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])  # type: ignore[attr-defined]


def image(session: Any) -> dict[str, Any]:
    """One image of noise for what a session reads."""
    (read,) = session.get_inputs()
    size = [each if isinstance(each, int) else 1 for each in read.shape]
    return {read.name: np.random.default_rng(0).standard_normal(size, dtype=np.float32)}


def calls_of(archive: zipfile.ZipFile, pack: dict[str, Any], batch: list[int]) -> list[tuple[int, float, int]]:
    """All calls of a batch's networks in their order: number of the network, milliseconds, 1 if uninterrupted.

    A network has its turn once in each round for every time that it is open, in random order. The first call of a turn
    does not count: the caches still hold another network's weights.
    """
    protocol = pack["protocol"]
    sessions = [opened(archive.read(f"models/{number}.onnx"), pack["threads"]) for number in batch]
    feeds = [image(session) for session in sessions]
    calls: list[tuple[int, float, int]] = []
    end, done = time.perf_counter() + protocol["batch_s"], 0
    while done < protocol["least_rounds"] or (done < protocol["most_rounds"] and time.perf_counter() < end):
        for place in random.sample(range(len(batch)), len(batch)):
            sessions[place].run(None, feeds[place])
            for _ in range(protocol["calls"]):
                before, start = interruptions(), time.perf_counter()
                sessions[place].run(None, feeds[place])
                calls.append((batch[place], 1e3 * (time.perf_counter() - start), int(interruptions() == before)))
        done += 1
    return calls


def pinned(threads: int) -> list[int] | None:
    """Keeps this process on as many cores as it has threads, the last ones; None where that cannot be had."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    return sorted(os.sched_getaffinity(0))


def cpu_name() -> str:
    """What the operating system calls the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor()


def main(pack_path: str, out_path: str) -> None:
    """Reads the pack, times its networks, and writes what was measured."""
    cores, start = os.cpu_count(), time.perf_counter()
    with zipfile.ZipFile(pack_path) as archive:
        pack = json.loads(archive.read("pack.json"))
        affinity = pinned(pack["threads"])
        calls = [calls_of(archive, pack, batch) for batch in pack["batches"]]
    profile = {
        **{name: value for name, value in pack.items() if name != "batches"},
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "device": {
            "name": platform.node(),
            "machine": platform.machine(),
            "cpu": cpu_name(),
            "cores": cores,
            "affinity": affinity,
            "os": platform.platform(),
        },
        "runtime": {"name": "onnxruntime", "version": ort.__version__, "provider": "CPUExecutionProvider"},
        "wall_s": time.perf_counter() - start,
        "calls": calls,
    }
    aside = Path(f"{out_path}.part")
    aside.write_text(json.dumps(profile))
    aside.replace(out_path)
    networks, wall_s = len(pack["policies"]), time.perf_counter() - start
    sys.stderr.write(f"Timed {networks} networks in {wall_s:.0f} s; wrote {out_path}.\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python pack.zip device.json")
    main(sys.argv[0], sys.argv[1])
