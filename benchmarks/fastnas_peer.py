"""ModelOpt FastNAS: every width of every layer scored alone, then one threshold on the scores that meets the MACs.

Its count of operations has batch norm and pooling in it, so its "50%" has not exactly half of our MACs: the limit that
it is given is moved until the independent count is as near below the target as its threshold allows.
"""

import copy
import io
import json
import time
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import modelopt.torch.prune as modelopt_prune
import torch
from modelopt.torch.prune.fastnas import FastNASConfig
from torch import Tensor, nn

from automl.core.errors import SearchError
from automl.store.files import write_json
from benchmarks.cache import CACHE
from benchmarks.macs import count_macs
from benchmarks.method import Compressed, Task

_LIMITS = 4
"""Limits tried on the one table of scores."""


def compress(task: Task) -> Compressed:
    """The network that FastNAS finds, with as many MACs as it gets below the target.

    The table of scores does not depend on the target. It is made once per network and seed and kept on disk. The
    seconds are those of the table and of the one call that made the result, as its user would spend them.

    Raises:
        SearchError: If no limit meets the target.
    """
    table = _Table.of(task)
    limit = task.macs_target / count_macs(task.subject.model, task.input_shape)
    meets, breaks = 0.0, 1.0
    best: tuple[int, float, nn.Module] | None = None
    for _ in range(_LIMITS):
        started, scored = time.perf_counter(), table.seconds
        network = _pruned(task, table, limit)
        seconds = time.perf_counter() - started - (table.seconds - scored)
        macs = count_macs(network, task.input_shape)
        if macs > task.macs_target:
            breaks = min(breaks, limit)
        else:
            meets = max(meets, limit)
            best = (macs, seconds, network) if best is None or macs > best[0] else best
        limit = min((meets + breaks) / 2, 1.02 * meets) if meets else 0.96 * limit
    if best is None:
        raise SearchError(f"FastNAS must reach {task.macs_target:,} MACs, but does not.")
    return Compressed(best[2], table.seconds + best[1])


class _Table:
    """The scores on disk, and the seconds that they took, over all sessions."""

    def __init__(self, path: Path, search: Sequence[tuple[Tensor, Tensor]]) -> None:
        self.path = path
        self._clock = path.with_suffix(".json")
        self._search = search
        self.seconds = 0.0
        if path.is_file() and self._clock.is_file():
            self.seconds = float(json.loads(self._clock.read_text()))
        else:
            path.unlink(missing_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)

    @classmethod
    def of(cls, task: Task) -> "_Table":
        return cls(CACHE / "fastnas" / f"{task.scratch}.pth", task.answered(task.search))

    def score(self, network: nn.Module) -> float:
        """Accuracy on the search images in percent, or agreement where they have no labels."""
        started = time.perf_counter()
        network.eval()  # here the library recalibrates batch norm
        right = images = 0
        with torch.no_grad():
            for inputs, labels in self._search:
                right += int((network(inputs).argmax(dim=1) == labels).sum())
                images += len(inputs)
        self.seconds += time.perf_counter() - started
        write_json(self._clock, self.seconds)
        return 100 * right / images


def _pruned(task: Task, table: _Table, limit: float) -> nn.Module:
    config = FastNASConfig()
    for layer, setting in (("nn.Conv2d", "channel_divisor"), ("nn.BatchNorm2d", "feature_divisor")):
        config[layer]["*"][setting] = task.multiple  # 32 by default, which would freeze every narrow layer
    search = {
        "data_loader": list(task.calibration),  # for batch norm only
        "collect_func": _images,
        "score_func": table.score,
        "checkpoint": str(table.path),
        "verbose": False,
    }
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        network, _ = modelopt_prune.prune(
            model=copy.deepcopy(task.subject.model),
            mode=[("fastnas", config)],
            constraints={"flops": f"{100 * limit:.4f}%"},
            dummy_input=torch.zeros(1, *task.input_shape, device=task.subject.device),
            config=search,
        )
    assert isinstance(network, nn.Module)
    return network


def _images(batch: tuple[Tensor, Tensor]) -> Tensor:
    return batch[0]
