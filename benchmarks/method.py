"""What a compression method is given and gives back, ours or a peer's."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automl.core.policy import CompressionPolicy
from automl.evaluate.held import Batches
from automl.pipeline.subject import Subject
from automl.training.distillation import UNLABELLED
from benchmarks.macs import count_macs
from search_spaces.rules import default_rule


@dataclass(frozen=True, slots=True)
class Task:
    """One network to compress; every method sees the same images."""

    subject: Subject
    """The trained network under its budget."""
    macs_target: int
    """Multiply-adds that the result may have, by `count_macs`."""
    calibration: Batches
    """For batch norms, least squares and gradients."""
    search: Batches
    """For scores of candidates."""
    seed: int
    trials: int
    """Policies that our search evaluates."""
    scratch: str
    """Name, unique to weights and splits, under which a peer may keep what serves every budget."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.subject.splits.input_shape

    @property
    def multiple(self) -> int:
        """Widths of our search space are multiples of this; peers get the same."""
        return default_rule(self.subject.traced.graph).multiple

    def answered(self, batches: Batches) -> list[tuple[Tensor, Tensor]]:
        """The batches with their labels; where there are none, with the dense network's answers."""
        return answered(self.subject.model, batches)


@dataclass(frozen=True, slots=True)
class Compressed:
    """A smaller network, not fine-tuned."""

    network: nn.Module
    """Trainable, with memory of its own."""
    search_seconds: float
    """Wall time from the dense network to this one."""
    policy: CompressionPolicy | None = None
    """Where the method thinks in policies."""


Method = Callable[[Task], Compressed]


def macs_target(subject: Subject, share: float) -> int:
    """`share` of the dense network's multiply-adds, by the independent counter."""
    return int(share * count_macs(subject.model, subject.splits.input_shape))


def answered(dense: nn.Module, batches: Batches) -> list[tuple[Tensor, Tensor]]:
    """The batches with their labels; where there are none, with the dense network's answers."""
    return [(images, _labels(dense, images, labels)) for images, labels in batches]


def _labels(dense: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    missing = labels == UNLABELLED
    if not bool(missing.any()):
        return labels
    with torch.no_grad():
        return torch.where(missing, dense(images).argmax(dim=1), labels)
