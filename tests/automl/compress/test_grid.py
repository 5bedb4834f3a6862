import pytest
import torch

from automl.compress.grid import activation_grid, weight_grid
from automl.core.bits import ACTIVATION_BITS, WEIGHT_BITS


def test_a_weight_of_two_bits_is_minus_one_zero_or_one_times_its_reach() -> None:
    weight = torch.tensor([[-3.0, -1.0, 0.0, 1.0, 3.0], [0.5, 0.1, 0.0, 0.0, -0.5]])
    grid = weight_grid(weight, 2, clip="max")
    assert grid.scale.tolist() == [3.0, 0.5]
    assert grid.rounded(weight).tolist() == [[-3.0, 0.0, 0.0, 0.0, 3.0], [0.5, 0.0, 0.0, 0.0, -0.5]]
    assert grid.integers(weight).tolist() == [[-1, 0, 0, 0, 1], [1, 0, 0, 0, -1]]


def test_one_grid_for_the_tensor_reaches_to_its_largest_magnitude() -> None:
    grid = weight_grid(torch.tensor([[12.7], [-1.0]]), 8, per_channel=False, clip="max")
    assert grid.scale.item() == pytest.approx(0.1)
    assert grid.integers(torch.tensor([[12.7], [-1.0]])).tolist() == [[127], [-10]]


@pytest.mark.parametrize("bits", WEIGHT_BITS)
@pytest.mark.parametrize("per_channel", [True, False])
def test_a_channel_has_at_most_the_levels_of_its_bits(bits: int, per_channel: bool) -> None:
    weight = torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(bits)) * 3
    rounded = weight_grid(weight, bits, per_channel=per_channel).rounded(weight)
    for channel in rounded if per_channel else rounded[None]:
        assert len(set(channel.flatten().tolist())) <= 2**bits - 1


def test_the_least_square_error_is_found() -> None:
    # With 15 levels, one value of 10 among a hundred of up to 1: worth clipping only if the others gain more.
    generator = torch.Generator().manual_seed(0)
    weight = torch.cat([torch.rand(1, 5_000, generator=generator), torch.tensor([[4.0]])], dim=1)
    chosen = weight_grid(weight, 4)

    def error(reach: float) -> float:
        steps = (weight / (reach / 7)).round().clamp(-7, 7) * (reach / 7)
        return float((steps - weight).square().sum())

    best = min((error(4.0 * share / 1_000), 4.0 * share / 1_000) for share in range(200, 1_001))
    # A hundredth of the peak lies between two reaches that are tried.
    assert float(chosen.scale) * 7 == pytest.approx(best[1], abs=0.04)
    assert error(float(chosen.scale) * 7) < error(4.0)


@pytest.mark.parametrize("bits", ACTIVATION_BITS)
@pytest.mark.parametrize(
    ("lowest", "width"), [(0.0, 6.0), (-1.7, 4.0), (-3.0, 1.0), (2.0, 0.5), (-20.0, 25.3), (0, 1e-6)]
)
def test_zero_is_a_level_and_values_in_range_move_by_a_step_at_most(lowest: float, width: float, bits: int) -> None:
    grid = activation_grid(lowest, lowest + width, bits)
    values = torch.linspace(lowest, lowest + width, 101)
    assert grid.rounded(torch.zeros(1)).item() == 0
    assert len(set(grid.rounded(values).tolist())) <= 2**bits
    # Half a step of rounding, and half a step by which zero's place has moved the ends.
    assert float((grid.rounded(values) - values).abs().max()) <= float(grid.scale) * 1.001 + 1e-6


def test_an_activation_of_eight_bits_by_hand() -> None:
    grid = activation_grid(-1.0, 4.1, 8)
    assert grid.scale.item() == pytest.approx(0.02)
    assert grid.zero_point.item() == 50
    assert grid.integers(torch.tensor([-9.0, -1.0, 0.0, 0.05, 4.1, 9.0])).tolist() == [0, 0, 50, 52, 255, 255]


def test_integers_stand_for_the_rounded_values() -> None:
    weight = torch.randn(4, 7, generator=torch.Generator().manual_seed(3))
    grid = weight_grid(weight, 5)
    assert torch.allclose(grid.integers(weight) * grid.scale[:, None], grid.rounded(weight), atol=1e-6)


def test_gradients_pass_inside_the_grid_and_not_outside() -> None:
    values = torch.tensor([-0.5, 0.3, 2.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(activation_grid(0.0, 1.0, 4).rounded(values).sum(), values)
    assert gradient.tolist() == [0.0, 1.0, 0.0]


def test_a_channel_of_zeros_and_an_activation_that_never_fires_stay_zero() -> None:
    weight = torch.tensor([[0.0, 0.0], [1.0, -1.0]])
    assert weight_grid(weight, 4).rounded(weight).tolist() == weight.tolist()
    assert activation_grid(0.0, 0.0, 8).rounded(torch.zeros(3)).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("bits", [1, 9])
def test_other_bits_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match="2 to 8 bits"):
        weight_grid(torch.ones(1, 1), bits)
    with pytest.raises(ValueError, match="4 to 8 bits"):
        activation_grid(0.0, 1.0, bits)


def test_ends_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        activation_grid(0.0, float("nan"), 8)
