import math

import pytest
import torch
from torch import Tensor, nn

from automl.core.errors import DataError
from automl.training.score import Score, measure

# Probabilities (3/4, 1/4) for class 0 and (1/4, 3/4) for class 1.
ZERO = [math.log(3), 0.0]
ONE = [0.0, math.log(3)]


def batch(logits: list[list[float]], labels: list[int]) -> tuple[Tensor, Tensor]:
    """Images that are their own logits."""
    return torch.tensor(logits)[:, :, None, None], torch.tensor(labels)


def reader(factor: float = 1) -> nn.Module:
    """A network whose logits are the image, times a factor."""

    class Reader(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return factor * images.flatten(1)

    return Reader()


def test_accuracy_and_cross_entropy_are_means_over_images_not_batches() -> None:
    batches = [batch([ZERO, ZERO], [0, 0]), batch([ZERO], [1])]
    score = measure(reader(), batches, teacher=None)
    assert score.accuracy == pytest.approx(2 / 3)
    assert score.loss == pytest.approx((2 * math.log(4 / 3) + math.log(4)) / 3)


def test_without_labels_the_score_is_agreement_with_the_teacher() -> None:
    score = measure(reader(), [batch([ZERO, ONE], [-1, -1])], teacher=reader(-1))
    # The teacher says the opposite each time, as (1/4, 3/4) to (3/4, 1/4).
    assert score.accuracy == 0
    assert score.loss == pytest.approx(math.log(3) / 2)


def test_labels_count_where_there_are_some() -> None:
    score = measure(reader(), [batch([ZERO, ZERO], [0, -1])], teacher=reader(-1))
    assert score.accuracy == 0.5


def test_neither_label_nor_teacher_is_refused() -> None:
    with pytest.raises(DataError, match="teacher"):
        measure(reader(), [batch([ZERO], [-1])], teacher=None)


def test_an_empty_selection_split_is_refused() -> None:
    with pytest.raises(DataError, match="at least one image"):
        measure(reader(), [], teacher=None)


def test_equal_accuracy_is_decided_by_the_loss() -> None:
    assert Score(9, 10, 0.5).better_than(Score(8, 10, 0.1))
    assert Score(9, 10, 0.4).better_than(Score(9, 10, 0.5))
    assert not Score(9, 10, 0.5).better_than(Score(9, 10, 0.5))


def test_clearly_is_more_than_a_standard_error() -> None:
    # (48 + 2) / (96 + 4) is 1/2: the standard error is sqrt(1/4 / 100) = 5%, which is 4.8 images of 96.
    assert Score(48, 96, 1.0).clearly_better_than(Score(43, 96, 0.1))
    assert not Score(48, 96, 0.1).clearly_better_than(Score(44, 96, 1.0))
    # 96 of 96 count as 98 of 100: sqrt(0.98 * 0.02 / 100) is 1.4%, which is 1.34 images.
    assert Score(96, 96, 1.0).clearly_better_than(Score(94, 96, 0.1))
    assert not Score(96, 96, 0.1).clearly_better_than(Score(95, 96, 1.0))
