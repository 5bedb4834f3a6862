import math
from dataclasses import replace

import pytest
import torch

from automl.core.errors import DataError
from automl.training.distillation import distillation_loss, divergences
from automl.training.recipe import Recipe

RECIPE = Recipe(
    epochs=1,
    learning_rate=0.1,
    batch_size=2,
    weight_decay=0.0,
    schedule="cosine",
    label_smoothing=0.0,
    distillation=0.5,
    temperature=1.0,
)
# Probabilities of (3/4, 1/4) and (1/4, 3/4).
SURE = [math.log(3), 0.0]
WRONG = [0.0, math.log(3)]
# KL((1/4, 3/4) || (3/4, 1/4)) = 1/4 ln(1/3) + 3/4 ln 3 = ln(3) / 2.
KL = math.log(3) / 2


def test_the_divergence_is_that_of_the_student_from_the_teacher() -> None:
    student, teacher = torch.tensor([SURE, SURE]), torch.tensor([SURE, WRONG])
    assert divergences(student, teacher).tolist() == pytest.approx([0, KL])


def test_without_a_teacher_the_loss_is_the_cross_entropy() -> None:
    loss = distillation_loss(torch.tensor([SURE]), torch.tensor([0]), None, RECIPE)
    assert loss.item() == pytest.approx(math.log(4 / 3))


def test_label_smoothing_spreads_its_share_over_all_classes() -> None:
    recipe = replace(RECIPE, label_smoothing=0.2)
    loss = distillation_loss(torch.tensor([SURE]), torch.tensor([0]), None, recipe)
    assert loss.item() == pytest.approx(0.9 * math.log(4 / 3) + 0.1 * math.log(4))


def test_labels_and_teacher_are_weighed() -> None:
    recipe = replace(RECIPE, distillation=0.25)
    loss = distillation_loss(torch.tensor([SURE]), torch.tensor([0]), torch.tensor([WRONG]), recipe)
    assert loss.item() == pytest.approx(0.75 * math.log(4 / 3) + 0.25 * KL)


def test_the_temperature_divides_the_logits_and_squares_into_the_loss() -> None:
    recipe = replace(RECIPE, distillation=1.0, temperature=2.0)
    student, teacher = torch.tensor([SURE]) * 2, torch.tensor([WRONG]) * 2
    loss = distillation_loss(student, torch.tensor([0]), teacher, recipe)
    assert loss.item() == pytest.approx(4 * KL)


def test_an_image_without_a_label_learns_from_the_teacher_alone() -> None:
    student, teacher = torch.tensor([SURE, SURE]), torch.tensor([SURE, WRONG])
    loss = distillation_loss(student, torch.tensor([0, -1]), teacher, RECIPE)
    # Labelled: half the cross-entropy and half of no divergence. Unlabelled: the whole divergence.
    assert loss.item() == pytest.approx((0.5 * math.log(4 / 3) + KL) / 2)


def test_no_label_and_no_teacher_is_refused() -> None:
    with pytest.raises(DataError, match="teacher"):
        distillation_loss(torch.tensor([SURE, SURE]), torch.tensor([0, -1]), None, RECIPE)
