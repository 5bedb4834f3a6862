import math

import pytest
import torch

from automl.compress.activation_range import ActivationRange
from automl.core.errors import DataError


def seen(*batches: torch.Tensor) -> ActivationRange:
    found = ActivationRange("conv1")
    for batch in batches:
        found.see(batch)
    return found


def test_the_extremes_are_those_of_all_batches() -> None:
    found = seen(torch.tensor([[-1.0, 2.0]]), torch.tensor([[0.0, 4.1]]))
    grid = found.grid(8, "max")
    assert grid.scale.item() == pytest.approx(5.1 / 255)
    assert grid.zero_point.item() == 50


def test_what_is_never_negative_has_no_levels_below_zero() -> None:
    grid = seen(torch.rand(1000, generator=torch.Generator().manual_seed(0))).grid(4)
    assert grid.zero_point.item() == 0
    assert grid.scale.item() == pytest.approx(1 / 15, rel=0.1)


def test_one_value_in_a_million_does_not_cost_the_others_their_levels() -> None:
    values = torch.rand(1_000_000, generator=torch.Generator().manual_seed(1))
    values[123] = 1_000.0
    found = seen(values)
    assert found.grid(8, "max").scale.item() == pytest.approx(1_000 / 255)
    assert found.grid(8, "percentile").scale.item() == pytest.approx(1 / 255, rel=0.01)


def test_the_least_square_error_beats_the_extremes_where_tails_are_long() -> None:
    # A normal distribution at 4 bits: the best symmetric reach is 2.6 standard deviations of 4 or more (Banner 2019).
    values = torch.randn(50_000, generator=torch.Generator().manual_seed(2))
    found = seen(*torch.split(values, 10_000))
    best, extreme = found.grid(4, "mse"), found.grid(4, "max")
    assert 2.3 < best.scale.item() * 7.5 < 2.9

    def error(grid_values: torch.Tensor) -> float:
        return float((grid_values - values).square().mean())

    assert error(best.rounded(values)) < 0.7 * error(extreme.rounded(values))


def test_a_tensor_that_never_fires_says_so_and_stays_zero() -> None:
    found = seen(torch.zeros(2, 3))
    assert found.silent
    assert found.grid(8).rounded(torch.zeros(4)).tolist() == [0.0] * 4


def test_a_network_that_writes_its_activations_in_place_changes_nothing() -> None:
    values = torch.randn(4, 8, 6, 6, generator=torch.Generator().manual_seed(3))
    for layout in (torch.contiguous_format, torch.channels_last):
        maps = values.clone(memory_format=layout)
        found = seen(maps)
        before = found.grid(4).scale.item()
        maps.relu_()
        assert found.grid(4).scale.item() == before


def test_a_constant_is_kept() -> None:
    grid = seen(torch.full((100,), 3.7)).grid(8)
    assert grid.rounded(torch.tensor([3.7])).item() == pytest.approx(3.7, rel=1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused_by_name(bad: float) -> None:
    with pytest.raises(DataError, match=r"'conv1' has values .* Check the images"):
        seen(torch.tensor([0.0, bad]))
