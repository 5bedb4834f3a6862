"""Torch-Pruning (Fang et al. 2023, DepGraph): rankings of channels, cut at a ratio that meets the MACs.

The library takes a ratio of channels and no MACs. With `round_to`, a group that would round to nothing is left whole
without a word, so that MACs jump up again at high ratios: "the ratio with the most MACs below the target" would be
such an accident. What is taken is the smallest ratio that meets the target.
"""

import copy
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torch_pruning
from torch import Tensor, nn

from automl.core.errors import SearchError
from automl.models.head import classifier_name
from benchmarks.macs import count_macs
from benchmarks.method import Compressed, Task

_HIGHEST_RATIO = 0.98
_STEPS = 50
_BISECTIONS = 4
_SMALL_STEPS = 200


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to use the library."""

    importance: Callable[[], Any]
    """Makes its importance estimator."""
    gradients: bool
    """Whether the estimator reads gradients of the loss."""
    everywhere: bool
    """Whether channels compete over the whole network, instead of within their layer."""
    isomorphic: bool = False
    """Whether only groups of one structure compete (Fang et al. 2024)."""


def _l2() -> Any:
    return torch_pruning.importance.GroupMagnitudeImportance(p=2)


def _taylor() -> Any:
    return torch_pruning.importance.GroupTaylorImportance()


ARMS: Mapping[str, Arm] = {
    "TP uniform L2": Arm(_l2, gradients=False, everywhere=False),
    "TP global L2": Arm(_l2, gradients=False, everywhere=True),
    "TP global Taylor": Arm(_taylor, gradients=True, everywhere=True),
    "TP isomorphic Taylor": Arm(_taylor, gradients=True, everywhere=True, isomorphic=True),
}


def compress(task: Task, arm: Arm) -> Compressed:
    """The network cut at the smallest ratio that meets the target.

    Raises:
        SearchError: If no ratio does.
    """
    started = time.perf_counter()
    dense = task.subject.model.eval()
    gradients = _gradients(dense, task.answered(task.calibration)) if arm.gradients else {}
    network = _at_once(task, arm, gradients)
    if network is None:
        network = _step_by_step(task, arm, gradients)
    if network is None:
        raise SearchError(f"Torch-Pruning must reach {task.macs_target:,} MACs, but no ratio does.")
    return Compressed(network, time.perf_counter() - started)


def _at_once(task: Task, arm: Arm, gradients: Mapping[str, Tensor]) -> nn.Module | None:
    """The network at the smallest ratio that meets the target; None where none does."""
    low, high, best = 0.0, 0.0, None
    for high in np.linspace(0, _HIGHEST_RATIO, _STEPS)[1:].tolist():
        best = _pruned(task, arm, gradients, high)
        if best is not None:
            break
        low = high
    for _ in range(_BISECTIONS if best is not None else 0):
        middle = (low + high) / 2
        network = _pruned(task, arm, gradients, middle)
        low, high = (middle, high) if network is None else (low, middle)
        best = best if network is None else network
    return best


def _pruned(task: Task, arm: Arm, gradients: Mapping[str, Tensor], ratio: float) -> nn.Module | None:
    """The network at `ratio`; None where it misses the target."""
    network = _copy(task.subject.model, gradients)
    _pruner(task, arm, network, ratio, steps=1).step()
    network.zero_grad()
    return network if count_macs(network, task.input_shape) <= task.macs_target else None


def _step_by_step(task: Task, arm: Arm, gradients: Mapping[str, Tensor]) -> nn.Module | None:
    """The network after as many small steps as the target takes, which stop at a group's last `round_to` channels.

    In one step a group that would go as a whole stays as a whole, so that some targets are out of reach.
    """
    network = _copy(task.subject.model, gradients)
    pruner = _pruner(task, arm, network, 1.0, steps=_SMALL_STEPS)
    for _ in range(_SMALL_STEPS - 1):
        pruner.step()
        if count_macs(network, task.input_shape) <= task.macs_target:
            network.zero_grad()
            return network
    return None


def one_shot(dense: nn.Module, input_shape: tuple[int, ...], ratio: float) -> nn.Module:
    """A copy of `dense` that lost `ratio` of each layer's channels, by L2: one turn of a search around the library."""
    network = _copy(dense, {})
    torch_pruning.pruner.BasePruner(
        network,
        torch.zeros(1, *input_shape),
        importance=_l2(),
        pruning_ratio=ratio,
        ignored_layers=[network.get_submodule(classifier_name(network))],
        round_to=8,
        in_channel_groups={},
        out_channel_groups={},
        num_heads={},
    ).step()
    return network


def _copy(dense: nn.Module, gradients: Mapping[str, Tensor]) -> nn.Module:
    network = copy.deepcopy(dense).eval()
    network.requires_grad_(True)  # the library follows autograd, and prunes nothing that is frozen
    for name, gradient in gradients.items():
        network.get_parameter(name).grad = gradient.clone()  # deepcopy leaves gradients behind
    return network


def _pruner(task: Task, arm: Arm, network: nn.Module, ratio: float, *, steps: int) -> Any:
    return torch_pruning.pruner.BasePruner(
        network,
        torch.zeros(1, *task.input_shape, device=task.subject.device),
        importance=arm.importance(),
        global_pruning=arm.everywhere,
        isomorphic=arm.isomorphic,
        pruning_ratio=ratio,
        iterative_steps=steps,
        ignored_layers=[network.get_submodule(classifier_name(network))],
        round_to=task.multiple,
        # Their defaults are dicts that all pruners of a process share.
        in_channel_groups={},
        out_channel_groups={},
        num_heads={},
    )


def _gradients(dense: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Of the mean loss of each batch, summed over the batches."""
    parameters = dict(dense.named_parameters())
    totals = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    for images, labels in batches:
        loss = F.cross_entropy(dense(images), labels)
        for total, gradient in zip(totals.values(), torch.autograd.grad(loss, list(parameters.values())), strict=True):
            total += gradient
    return totals
