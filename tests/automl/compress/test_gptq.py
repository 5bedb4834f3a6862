import itertools

import pytest
import torch
from torch import Tensor

from automl.compress.gptq import gptq


def correlated(entries: int, seed: int) -> Tensor:
    """A covariance whose inputs share most of what they say."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(entries, 3, generator=generator, dtype=torch.float64)
    return mixed @ mixed.T + 0.1 * torch.diag(torch.rand(entries, generator=generator, dtype=torch.float64) + 0.5)


def output_error(weight: Tensor, integers: Tensor, scale: Tensor, covariance: Tensor) -> float:
    lost = weight.double() - integers * scale[:, :, None].double()
    return float((lost @ covariance * lost).sum())


def test_the_second_weight_makes_up_for_the_first() -> None:
    # y = 0.4 a + 0.4 b in steps of 1, where a and b are nearly the same: alone each is rounded to 0, together to 1.
    # a has the larger variance and goes first: 0, which loses 0.4 a. By 0.95 / 0.9, the regression of a on b, the
    # other one moves to 0.4 + 0.4 * 0.95 / 0.9 = 0.82, which is rounded to 1.
    covariance = torch.tensor([[[1.0, 0.95], [0.95, 0.9]]], dtype=torch.float64) + 1e-3 * torch.eye(2).double()
    weight, scale = torch.tensor([[[0.4, 0.4]]]), torch.ones(1, 1)
    assert gptq(weight, covariance, scale, 7, ridge=0.0).tolist() == [[[0, 1]]]


def test_inputs_without_correlation_are_rounded_to_the_nearest() -> None:
    weight = torch.randn(1, 4, 6, generator=torch.Generator().manual_seed(0))
    scale = torch.full((1, 4), 0.3)
    nearest = (weight / 0.3).round().clamp(-7, 7)
    variances = torch.tensor([3.0, 1, 4, 1, 5, 9], dtype=torch.float64)
    assert torch.equal(gptq(weight, torch.diag(variances)[None], scale, 7), nearest.int())


@pytest.mark.parametrize("seed", range(5))
def test_outputs_come_nearer_than_by_rounding_to_the_nearest(seed: int) -> None:
    weight = torch.randn(2, 8, 20, generator=torch.Generator().manual_seed(seed))
    covariance = torch.stack([correlated(20, seed), correlated(20, seed + 100)])
    scale = weight.abs().amax(dim=2) / 7
    ours = output_error(weight, gptq(weight, covariance, scale, 7), scale, covariance)
    nearest = (weight / scale[:, :, None]).round().clamp(-7, 7)
    assert ours < 0.5 * output_error(weight, nearest, scale, covariance)


def test_of_all_roundings_up_and_down_it_finds_one_of_the_best() -> None:
    weight = torch.randn(1, 1, 8, generator=torch.Generator().manual_seed(1))
    covariance, scale = correlated(8, 1)[None], torch.full((1, 1), 0.4)
    lower = (weight / 0.4).floor()
    every = [
        output_error(weight, lower + torch.tensor(up).reshape(1, 1, -1), scale, covariance)
        for up in itertools.product((0, 1), repeat=8)
    ]
    ours = output_error(weight, gptq(weight, covariance, scale, 7), scale, covariance)
    assert sum(error < ours for error in every) < 0.05 * len(every)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.randn(1, 3, 40, generator=torch.Generator().manual_seed(2))
    covariance, scale = correlated(40, 2)[None], torch.full((1, 3), 0.2)
    whole = gptq(weight, covariance, scale, 7)
    monkeypatch.setattr("automl.compress.gptq._BLOCK", 7)
    assert torch.equal(gptq(weight, covariance, scale, 7), whole)


def test_several_problems_are_solved_as_each_would_be_alone() -> None:
    weight = torch.randn(3, 2, 9, generator=torch.Generator().manual_seed(4))
    covariance = torch.stack([correlated(9, seed) for seed in range(3)])
    scale = torch.rand(3, 2, generator=torch.Generator().manual_seed(5)) + 0.1
    together = gptq(weight, covariance, scale, 7)
    for index in range(3):
        one = slice(index, index + 1)
        assert torch.equal(gptq(weight[one], covariance[one], scale[one], 7), together[one])


def test_integers_stay_within_the_grid_and_whole_weights_stay_as_they_are() -> None:
    weight = torch.tensor([[[5.0, -9.0, 2.0]]])
    assert gptq(weight, torch.eye(3, dtype=torch.float64)[None], torch.ones(1, 1), 7).tolist() == [[[5, -7, 2]]]


def test_inputs_that_never_fire_or_repeat_each_other_are_no_obstacle() -> None:
    weight, scale = torch.tensor([[[0.6, 0.6]]]), torch.ones(1, 1)
    silent = torch.zeros(1, 2, 2, dtype=torch.float64)
    repeated = torch.ones(1, 2, 2, dtype=torch.float64)
    assert gptq(weight, silent, scale, 7).tolist() == [[[1, 1]]]
    # 1 for the first, which is 0.4 too much: the second gives it back, 0.6 - 0.4 = 0.2.
    assert gptq(weight, repeated, scale, 7, ridge=0.0).tolist() == [[[1, 0]]]
