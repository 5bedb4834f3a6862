"""The loss of a network that learns from labels, from a teacher, or from both."""

import torch.nn.functional as functional
from torch import Tensor

from automl.core.errors import DataError
from automl.training.recipe import Recipe

UNLABELLED = -1
"""The label of an image without one."""


def distillation_loss(logits: Tensor, labels: Tensor, teacher_logits: Tensor | None, recipe: Recipe) -> Tensor:
    """The mean loss per image (Hinton et al. 2015): `(1 - a) * cross-entropy + a * T^2 * KL(teacher || student)`.

    Where there is no teacher it is the cross-entropy, and where there is no label the divergence alone.

    Args:
        logits: Shape `[N, classes]`, of the student.
        labels: Shape `[N]`, `UNLABELLED` for an image without one.
        teacher_logits: Shape `[N, classes]`, without gradient.
        recipe: Gives `a` (`distillation`), `T` (`temperature`) and the label smoothing.

    Raises:
        DataError: If an image has neither a label nor a teacher.
    """
    labelled = labels != UNLABELLED
    if teacher_logits is None:
        if not labelled.all():
            raise DataError(
                "An image without a label can only be learnt from a teacher, but there is none. "
                "Label the images, or start from trained weights with `--weights FILE`."
            )
        return functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
    weight = recipe.distillation * labelled + (~labelled).float()  # [N]
    answers = functional.cross_entropy(
        logits, labels, ignore_index=UNLABELLED, reduction="none", label_smoothing=recipe.label_smoothing
    )
    divergence = recipe.temperature**2 * divergences(logits, teacher_logits, recipe.temperature)
    return ((1 - weight) * answers + weight * divergence).mean()


def divergences(logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """KL divergence of each image's class probabilities from the teacher's, in nats; shape `[N]`."""
    student = functional.log_softmax(logits / temperature, dim=1)
    teacher = functional.log_softmax(teacher_logits / temperature, dim=1)
    return functional.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=1)
