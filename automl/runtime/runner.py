"""Times the networks of a pack on this machine: `python pack.zip device.json`.

This file is the pack's `__main__.py`. It needs Python 3.9, numpy and the runtime that the pack names, onnxruntime or
openvino, and nothing else.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import random
import sys
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

try:
    import resource
except ImportError:  # Windows does not say when a call was interrupted
    resource = None  # type: ignore[assignment]


def interruptions() -> int:
    """Context switches that were forced on this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw if resource else 0


def imported(name: str) -> Any:
    """The package of a runtime."""
    # Importing openvino would start a thread that reports the import to its makers; it does without this package.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        sys.exit(f"This pack needs {name}, which cannot be imported ({error}): pip install {name}")


def opened(runtime: Any, content: bytes, threads: int) -> Callable[[], Any]:
    """What runs one image of noise through a network on the CPU."""
    return (in_openvino if runtime.__name__ == "openvino" else in_onnxruntime)(runtime, content, threads)


def in_onnxruntime(ort: Any, content: bytes, threads: int) -> Callable[[], Any]:
    """What runs one image in a session of ONNX Runtime."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 4
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (read,) = session.get_inputs()
    size = [each if isinstance(each, int) else 1 for each in read.shape]
    return partial(session.run, None, {read.name: image(size)})


def in_openvino(ov: Any, content: bytes, threads: int) -> Callable[[], Any]:
    """What runs one image in a request of OpenVINO."""
    core = ov.Core()
    network = core.read_model(content)
    size = [each.get_length() if each.is_static else 1 for each in network.input().partial_shape]
    network.reshape(size)  # with any number of images a call takes up to half as long again
    settings = {
        # Without it float networks run in bfloat16 wherever the processor can, and nothing says so.
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        # The process is pinned already. This would pin all threads but the caller's, which may then share its core.
        "ENABLE_CPU_PINNING": False,
    }
    request = core.compile_model(network, "CPU", settings).create_infer_request()
    request.set_input_tensor(ov.Tensor(image(size)))
    run: Callable[[], Any] = request.infer
    return run


def image(size: list[int]) -> Any:
    """One image of noise."""
    return np.random.default_rng(0).standard_normal(size, dtype=np.float32)


def calls_of(
    archive: zipfile.ZipFile, pack: dict[str, Any], runtime: Any, batch: list[int]
) -> list[tuple[int, float, int]]:
    """All calls of a batch's networks in their order: number of the network, milliseconds, 1 if uninterrupted.

    A network has its turn once in each round for every time that it is open, in random order. The first call of a turn
    does not count: the caches still hold another network's weights.
    """
    protocol = pack["protocol"]
    networks = [opened(runtime, archive.read(f"models/{number}.onnx"), pack["threads"]) for number in batch]
    calls: list[tuple[int, float, int]] = []
    end, done = time.perf_counter() + protocol["batch_s"], 0
    while done < protocol["least_rounds"] or (done < protocol["most_rounds"] and time.perf_counter() < end):
        for place in random.sample(range(len(batch)), len(batch)):
            networks[place]()
            for _ in range(protocol["calls"]):
                before, start = interruptions(), time.perf_counter()
                networks[place]()
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
        runtime = imported(pack["runtime"]["name"])  # only now: it counts the cores that it may use
        calls = [calls_of(archive, pack, runtime, batch) for batch in pack["batches"]]
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
        "runtime": {**pack["runtime"], "version": runtime.__version__},
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
