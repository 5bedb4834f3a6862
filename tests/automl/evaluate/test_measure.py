import math

import pytest
import torch
from torch import nn

from automl.core.errors import SearchError
from automl.evaluate.interval import wilson95
from automl.evaluate.measure import Answers, answers, compare

# Three images, two classes; probabilities (0.8, 0.2), (0.5, 0.5), (0.1, 0.9).
REFERENCE = Answers(torch.tensor([[0.8, 0.2], [0.5, 0.5], [0.1, 0.9]]).log(), torch.tensor([0, 1, 0]))


def test_a_network_diverges_from_itself_by_nothing() -> None:
    measured = compare(REFERENCE, REFERENCE)
    assert measured.divergence == pytest.approx(0.0, abs=1e-9)
    assert measured.images == 3


def test_the_divergence_is_the_mean_kl_from_the_reference() -> None:
    given = Answers(torch.tensor([[0.5, 0.5]] * 3).log(), REFERENCE.labels)
    expected = (0.8 * math.log(1.6) + 0.2 * math.log(0.4) + 0.1 * math.log(0.2) + 0.9 * math.log(1.8)) / 3
    assert compare(given, REFERENCE).divergence == pytest.approx(expected, rel=1e-6)


def test_accuracy_counts_the_labels() -> None:
    given = Answers(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), REFERENCE.labels)
    assert compare(given, REFERENCE).accuracy == pytest.approx(2 / 3)


def test_without_labels_accuracy_is_agreement_with_the_reference() -> None:
    given = Answers(torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]), torch.tensor([-1, -1, -1]))
    assert compare(given, REFERENCE).accuracy == pytest.approx(2 / 3)  # the reference says 0, 0, 1


def test_a_logit_that_is_not_finite_is_refused() -> None:
    given = Answers(torch.full((3, 2), math.nan), REFERENCE.labels)
    with pytest.raises(SearchError, match="finite"):
        compare(given, REFERENCE)


def test_answers_leave_the_training_flag_alone() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2), nn.Dropout(0.9)).train()
    batch = (torch.ones(4, 3, 1, 1), torch.tensor([0, 1, 0, 1]))
    first, second = (answers(model, [batch], torch.device("cpu")) for _ in range(2))
    assert torch.equal(first.logits, second.logits)
    assert model.training


def test_the_wilson_interval_of_a_textbook_case() -> None:
    # 8 of 10: (0.8 + 0.19207 +- 1.96 * sqrt(0.016 + 0.0096036)) / 1.38415 = 0.4902 and 0.9433.
    low, high = wilson95(8, 10)
    assert low == pytest.approx(0.4902, abs=1e-4)
    assert high == pytest.approx(0.9433, abs=1e-4)


def test_the_interval_of_a_perfect_score_ends_at_one() -> None:
    assert wilson95(50, 50)[1] == pytest.approx(1.0)
    assert wilson95(50, 50)[0] < 0.95
