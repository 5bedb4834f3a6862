"""Every method that `benchmarks.peers` compares, by name."""

import importlib.util
from collections.abc import Mapping
from functools import partial

from benchmarks import ours
from benchmarks.method import Compressed, Method, Task

OURS = "automl"
FASTNAS = "FastNAS"


def find_methods() -> tuple[Mapping[str, Method], tuple[str, ...]]:
    """Ours first, then every peer that is installed; and what to say of those that are not."""
    methods: dict[str, Method] = {OURS: _ours}
    missing = []
    if _installed("torch_pruning"):
        from benchmarks import torch_pruning_peer

        methods |= {
            name: partial(torch_pruning_peer.compress, arm=arm) for name, arm in torch_pruning_peer.ARMS.items()
        }
    else:
        missing.append("Torch-Pruning: left out, not installed (pip install -e '.[bench]')")
    if _installed("modelopt") and _installed("torchprofile"):
        methods[FASTNAS] = _fastnas
    else:
        missing.append("ModelOpt FastNAS: left out, not installed (pip install -e '.[bench]')")
    return methods, tuple(missing)


def _ours(task: Task) -> Compressed:
    return ours.compress(task.subject, task.trials, task.seed)


def _fastnas(task: Task) -> Compressed:
    from benchmarks import fastnas_peer  # takes ten seconds

    return fastnas_peer.compress(task)


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
