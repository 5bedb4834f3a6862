import pytest
import torch
from torch import Tensor

from automl.compress.factor import Factor, factorise


def sample(rows: int, entries: int) -> Tensor:
    values = torch.randn(rows, entries, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return values.T.cov(correction=0)


def check(factor: Factor, covariance: Tensor) -> None:
    expected = covariance + factor.added * torch.eye(len(covariance), dtype=torch.float64)
    torch.testing.assert_close(factor.lower @ factor.lower.T, expected)
    assert factor.ridge == pytest.approx(factor.added / (float(covariance.diagonal().mean()) or 1.0))


@pytest.mark.parametrize("ridge", [0.0, 1e-3])
def test_a_regular_covariance_is_damped_as_asked(ridge: float) -> None:
    covariance = sample(100, 6)
    factor = factorise(covariance, 100, ridge)
    assert factor.ridge == ridge
    check(factor, covariance)


def test_a_singular_covariance_is_damped_until_it_has_a_factor() -> None:
    twice = torch.tensor([0, 1, 2, 3, 4, 2])
    covariance = sample(100, 5)[twice][:, twice]
    factor = factorise(covariance, 100, 0.0)
    assert 0 < factor.ridge < 1e-3
    check(factor, covariance)


def test_a_covariance_of_zeros_has_a_factor() -> None:
    covariance = torch.zeros(4, 4, dtype=torch.float64)
    check(factorise(covariance, 100, 0.0), covariance)


def test_fewer_rows_than_entries_need_shrinkage() -> None:
    # Independent inputs of one variance: the truth is the identity, and all of the sample's structure is noise.
    covariance = sample(10, 40)
    factor = factorise(covariance, 10)
    assert 0.5 < factor.ridge <= 1
    check(factor, covariance)


def test_structure_that_few_rows_do_show_is_shrunk_less() -> None:
    strong = sample(10, 40) + 100 * torch.ones(40, 40, dtype=torch.float64)
    assert factorise(strong, 10).ridge < 0.3
