"""Runs a network on a set of images and says how well it answers."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl.core.errors import SearchError
from automl.evaluate.interval import wilson95

UNLABELLED = -1
"""The label of an image that has none."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a network said on a fixed list of images."""

    logits: Tensor  # [images, classes], on the CPU
    labels: Tensor  # [images]

    @property
    def labelled(self) -> bool:
        """Whether the images carry labels."""
        return bool((self.labels != UNLABELLED).all())

    def first(self, images: int) -> "Answers":
        """The answers on the first `images` images."""
        return Answers(self.logits[:images], self.labels[:images])


@dataclass(frozen=True, slots=True)
class Measurement:
    """How well one network answers."""

    accuracy: float
    """Share of right answers; without labels, of answers that agree with the reference. In [0, 1]."""
    accuracy_ci95: tuple[float, float]
    """Wilson interval of `accuracy`."""
    divergence: float
    """Mean KL divergence of the network's class probabilities from the reference's, in nats."""
    images: int
    """Images measured on."""


def answers(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device) -> Answers:
    """The logits of `model` in eval mode on every image."""
    # Setting flags takes long for a small network, and those that a search measures are in eval mode already.
    training = {module for module in model.modules() if module.training}
    if training:
        model.eval()
    logits: list[Tensor] = []
    labels: list[Tensor] = []
    with torch.inference_mode():
        for images, targets in batches:
            logits.append(model(images.to(device)).float().cpu())
            labels.append(targets.cpu())
    for module in training:
        module.training = True
    return Answers(torch.cat(logits), torch.cat(labels))


def compare(given: Answers, reference: Answers) -> Measurement:
    """Measures answers against the labels, and against the dense network's answers on the same images.

    Raises:
        SearchError: If a logit is not finite.
    """
    for who, each in (("dense", reference), ("compressed", given)):
        if not bool(torch.isfinite(each.logits).all()):
            raise SearchError(
                f"Logits must be finite, but the {who} network returned NaN or infinity on the measured images. "
                "Check its weights, and that the images are scaled as it expects."
            )
    right, images = int(right_answers(given, reference).sum()), len(given.labels)
    divergence = float(divergences(given.logits, reference.logits).mean())
    return Measurement(right / images, wilson95(right, images), max(0.0, divergence), images)


def right_answers(given: Answers, reference: Answers) -> Tensor:
    """Which answers are right, shape `(images,)`; without labels, which agree with the reference."""
    targets = given.labels if given.labelled else reference.logits.argmax(dim=1)
    return given.logits.argmax(dim=1) == targets


def divergences(logits: Tensor, reference: Tensor) -> Tensor:
    """KL divergence of each image's class probabilities from the reference's, in nats.

    Args:
        logits: Shape `(images, classes)`.
        reference: The dense network's logits on the same images.

    Returns:
        Shape `(images,)`, float64.
    """
    predicted, wanted = (each.double().log_softmax(dim=1) for each in (logits, reference))
    return F.kl_div(predicted, wanted, reduction="none", log_target=True).sum(dim=1)
