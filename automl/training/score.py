"""How good a network is on the selection split."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from automl.core.errors import DataError
from automl.training.distillation import UNLABELLED, divergences


@dataclass(frozen=True, slots=True)
class Score:
    """What the best checkpoint is chosen by."""

    right: int
    """Right answers; where an image has no label, the teacher's answer is the right one."""
    images: int
    """At least 1."""
    loss: float
    """Mean cross-entropy, or KL divergence from the teacher where an image has no label, in nats."""

    @property
    def accuracy(self) -> float:
        """Share of right answers, in [0, 1]."""
        return self.right / self.images

    def better_than(self, other: "Score") -> bool:
        """Whether the accuracy is higher, or the same at a lower loss."""
        return (self.accuracy, -self.loss) > (other.accuracy, -other.loss)

    def clearly_better_than(self, other: "Score") -> bool:
        """Whether the accuracy is higher by more than its standard error (Agresti and Coull 1998)."""
        share = (self.right + 2) / (self.images + 4)  # not even a hundred right answers of a hundred are certain
        return self.accuracy - other.accuracy > math.sqrt(share * (1 - share) / (self.images + 4))


def measure(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], teacher: nn.Module | None) -> Score:
    """Runs `model`, which is in eval mode, over images `[N, C, H, W]` and labels `[N]` on its device.

    Raises:
        DataError: If there is no image, or one has neither a label nor a teacher.
    """
    right, loss, images = 0, 0.0, 0
    with torch.no_grad():
        for inputs, labels in batches:
            answers, losses = _compare(model(inputs), labels, inputs, teacher)
            right += int(answers.sum())
            loss += float(losses.sum())
            images += len(inputs)
    if images == 0:
        raise DataError("The selection split must have at least one image, but is empty. Give more images.")
    return Score(right, images, loss / images)


def _compare(logits: Tensor, labels: Tensor, images: Tensor, teacher: nn.Module | None) -> tuple[Tensor, Tensor]:
    """For each image whether the answer is right, and the loss."""
    losses = functional.cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="none")
    labelled = labels != UNLABELLED
    if labelled.all():
        return logits.argmax(1) == labels, losses
    if teacher is None:
        raise DataError(
            "An image without a label can only be held against a teacher, but there is none. "
            "Label the images, or start from trained weights with `--weights FILE`."
        )
    teacher_logits = teacher(images)
    truth = torch.where(labelled, labels, teacher_logits.argmax(1))
    return logits.argmax(1) == truth, torch.where(labelled, losses, divergences(logits, teacher_logits))
