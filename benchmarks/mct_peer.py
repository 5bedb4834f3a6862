"""Sony's Model Compression Toolkit (MCT), called in an interpreter of its own; see `benchmarks.mct_worker`."""

import copy
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from automl.core.errors import SearchError
from benchmarks.bit_task import END_BITS, Assigned, BitTask, images_of

_ROOT = Path(__file__).parents[1]
_LAST = 300
"""Characters of an error that are said."""


def assign(task: BitTask, python: str) -> Assigned:
    """Bits of every layer, and what its own quantized network answers.

    Args:
        task: The network is pickled: its class must be importable from the repository.
        python: An interpreter with the toolkit and with torch.

    Raises:
        SearchError: If it fails; with the end of what it said.
    """
    given = {
        "network": copy.deepcopy(task.subject.model).cpu(),
        "calibration": images_of(task.calibration),
        "test": images_of(task.test),
        "mean_bits": task.mean_bits,
        "ends": task.ends,
        "end_bits": END_BITS,
        "threads": torch.get_num_threads(),
    }
    with TemporaryDirectory() as folder:
        asked, found = Path(folder, "task.pt"), Path(folder, "result.pt")
        torch.save(given, asked)
        command = [python, "-W", "ignore", "-m", "benchmarks.mct_worker", str(asked), str(found)]
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not found.is_file():
            raise SearchError(f"MCT must answer, but ended with {done.returncode}: {done.stderr.strip()[-_LAST:]}")
        result = torch.load(found, weights_only=True)
    return Assigned(result["bits"], result["seconds"], result["logits"])


def why_not(python: str | None) -> str | None:
    """Why the toolkit cannot be called with this interpreter; None where it can."""
    test = "import model_compression_toolkit, torch"
    try:
        done = subprocess.run([python or sys.executable, "-W", "ignore", "-c", test], capture_output=True, check=False)
    except OSError as error:
        return f"Sony MCT: left out, {error}"
    if done.returncode == 0:
        return None
    return (
        "Sony MCT: left out, not installed (pip install model-compression-toolkit==2.6.1 in an environment of its own, "
        "with torch; then --mct-python PATH)"
    )
