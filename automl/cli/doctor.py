"""`automl doctor`."""

import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import typer

from automl.cli.options import RUNS, Json, Runs

State = Literal["ok", "warning", "failed"]
_LEAST_MEMORY = 2e9
_LEAST_DISK, _ENOUGH_DISK = 100e6, 2e9
_INSTALL = "Install them together: pip install --upgrade torch torchvision timm"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a search needs."""

    name: str
    state: State
    detail: str
    """What was found."""
    way_out: str = ""
    """What to do about it; empty where it is fine."""


def doctor(runs: Runs = RUNS, json: Json = False) -> None:
    """Check that this machine has what a search needs: packages, memory, disk, and a working ONNX export."""
    from automl.cli.listing import listing, show_line, show_table
    from automl.cli.outcome import show_json

    examinations: dict[str, Callable[[], Check]] = {
        "python": _python,
        "packages": _packages,
        "torch": _torch,
        "processor": _processor,
        "memory": _memory,
        "gpu": _gpu,
        "disk": lambda: _disk(runs),
        "runs folder": lambda: _runs_folder(runs),
        "onnx": _onnx,
    }
    checks = [_examined(name, examine) for name, examine in examinations.items()]
    if json:
        show_json([asdict(check) for check in checks])
    else:
        console = listing()
        show_table(console, ("Check", "State", "Found"), [(each.name, each.state, each.detail) for each in checks])
        for each in checks:
            if each.way_out:
                show_line(console, f"{each.name}: {each.way_out}")
    if any(check.state == "failed" for check in checks):
        raise typer.Exit(1)


def _examined(name: str, examine: Callable[[], Check]) -> Check:
    """A broken installation may raise anything on import, and the other checks still have something to say."""
    try:
        return examine()
    except Exception as error:
        first_line = (str(error).splitlines() or [""])[0]
        return Check(name, "failed", f"{type(error).__name__}: {first_line}", _INSTALL)


def _python() -> Check:
    return Check("python", "ok", f"{platform.python_version()} on {platform.platform()}")


def _packages() -> Check:
    from automl.store.manifest import package_versions

    return Check("packages", "ok", ", ".join(f"{name} {version}" for name, version in package_versions().items()))


def _torch() -> Check:
    import timm
    import torch
    from torchvision.ops import nms

    # The compiled operators fail on another torch than they were built for, some of them only when called.
    nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)
    return Check("torch", "ok", f"torch, torchvision and timm {timm.__version__} work together")


def _processor() -> Check:
    from automl.store.manifest import this_machine

    machine = this_machine()
    return Check("processor", "ok", f"{machine.cores} core(s), {machine.processor}")


def _memory() -> Check:
    from automl.report.quantity import humanise

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if memory < _LEAST_MEMORY:
        return Check("memory", "warning", humanise(memory, "B"), "Take small models or `--limit`, or a larger machine.")
    return Check("memory", "ok", humanise(memory, "B"))


def _gpu() -> Check:
    import torch

    from automl.report.quantity import humanise

    if not torch.cuda.is_available():
        return Check("gpu", "ok", "none; everything runs on the processor")
    card = torch.cuda.get_device_properties(0)
    return Check("gpu", "ok", f"{card.name}, {humanise(card.total_memory, 'B')}")


def _disk(runs: Path) -> Check:
    from automl.report.quantity import humanise

    free = shutil.disk_usage(_existing(runs)).free
    state: State = "ok" if free >= _ENOUGH_DISK else "warning" if free >= _LEAST_DISK else "failed"
    way_out = "" if state == "ok" else "Free some space, or put the runs elsewhere with `--runs`."
    return Check("disk", state, f"{humanise(free, 'B')} free for {runs}", way_out)


def _runs_folder(runs: Path) -> Check:
    folder = _existing(runs)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"automl")
    except OSError as error:
        detail = f"{runs} cannot be written: {error.strerror or error}"
        return Check("runs folder", "failed", detail, "Make it writable, or choose another with `--runs`.")
    return Check("runs folder", "ok", f"{runs} is writable" if folder == runs.absolute() else f"{runs} can be made")


def _onnx() -> Check:
    import torch
    from torch import nn

    from automl.export.onnx_file import export_onnx
    from automl.export.verify import check, parity

    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.onnx"
        export_onnx(network, (3, 8, 8), path)
        found = parity(network, path, [torch.ones(2, 3, 8, 8)])
    check(found)
    return Check("onnx", "ok", f"export and ONNX Runtime agree with torch to {found.max_abs_difference:.0e}")


def _existing(folder: Path) -> Path:
    """The folder itself, or the nearest thing above it that is there."""
    whole = folder.absolute()
    return next(path for path in (whole, *whole.parents) if path.exists())
