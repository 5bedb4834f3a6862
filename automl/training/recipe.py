"""How a network is trained."""

import math
from dataclasses import dataclass, replace
from typing import Literal

Schedule = Literal["one-cycle", "cosine"]

_QUANTIZATION_SHARE = 0.25
"""Epochs of the training at bit-widths, over those of the fine-tuning."""
_QUANTIZATION_RATE = 0.3
"""Its learning rate, over that of the fine-tuning."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """SGD with Nesterov momentum 0.9, and what goes with it."""

    epochs: int
    """Passes over the training set; 0 only recalibrates batch norm."""
    learning_rate: float
    """The highest one of the schedule."""
    batch_size: int
    """Images per step."""
    weight_decay: float
    """L2 penalty on the weights of convolutions and linear layers; biases and batch norms have none."""
    schedule: Schedule
    """`one-cycle` climbs for 30% of the steps and then falls to zero; `cosine` only falls."""
    label_smoothing: float
    """Share of each label in [0, 1) that is spread over all classes."""
    distillation: float
    """Weight in [0, 1] of the teacher's answers against the labels; it counts only where there is a teacher."""
    temperature: float
    """Divides the logits of both networks before they are compared; above 0."""


def baseline_recipe(images: int, *, epochs: int | None = None, pretrained: bool = False) -> Recipe:
    """The recipe for a network that learns from labels alone.

    Args:
        images: Size of the training set.
        epochs: None chooses them by the size: more passes over fewer images.
        pretrained: Whether the network starts from trained weights, which a high learning rate would destroy.
    """
    batch_size = _batch_size(images)
    return Recipe(
        epochs=_epochs(images) if epochs is None else epochs,
        learning_rate=_learning_rate(0.02 if pretrained else 0.1, batch_size),
        batch_size=batch_size,
        weight_decay=5e-4,
        schedule="one-cycle",
        label_smoothing=0.1,
        distillation=0.0,
        temperature=1.0,
    )


def finetune_recipe(images: int, *, epochs: int | None = None, labelled: bool = True) -> Recipe:
    """The recipe for a pruned network that learns from the dense one.

    Args:
        images: Size of the training set.
        epochs: None chooses them by the size: more passes over fewer images.
        labelled: Whether the dense network has learned from these images. Without labels it has not, and a high
            learning rate would fit the pruned one to them alone.
    """
    batch_size = _batch_size(images)
    return Recipe(
        epochs=_epochs(images) if epochs is None else epochs,
        # As high as from scratch: on 6,000 images of 24 classes it ended 1.6 points above half of it. An ImageNet
        # network on crops of twelve photos loses all its answers on others by it, and some by a tenth of it.
        learning_rate=_learning_rate(0.1 if labelled else 0.01, batch_size),
        batch_size=batch_size,
        weight_decay=5e-4,
        schedule="one-cycle",
        label_smoothing=0.0,
        distillation=0.9,
        temperature=4.0,
    )


def quantization_recipe(finetuning: Recipe) -> Recipe:
    """The recipe for a fine-tuned network whose weights and activations are rounded while it learns on.

    Args:
        finetuning: What it was fine-tuned with; 0 epochs of that are 0 of this.
    """
    return replace(
        finetuning,
        epochs=math.ceil(finetuning.epochs * _QUANTIZATION_SHARE),
        # It starts near where it will end: high rates would only undo the rounding that GPTQ has chosen.
        learning_rate=finetuning.learning_rate * _QUANTIZATION_RATE,
        schedule="cosine",
    )


def _epochs(images: int) -> int:
    """30 passes over up to 4,000 images, then fewer, down to 12."""
    return max(12, min(30, round(120_000 / max(images, 1))))


def _batch_size(images: int) -> int:
    """Larger for larger sets, so that a small one still makes enough steps."""
    for batch_size, most_images in ((16, 500), (32, 2_000), (64, 10_000)):
        if images <= most_images:
            return batch_size
    return 128


def _learning_rate(at_128_images: float, batch_size: int) -> float:
    # The square root keeps the variance of a step the same for every batch size (Krizhevsky 2014, section 5).
    return at_128_images * math.sqrt(batch_size / 128)
