import torch

from automl.evaluate.race import Lap, margin_at


def test_a_policy_that_is_worse_on_every_image_has_lost() -> None:
    best = torch.rand(128, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert Lap(best + 0.1 + 0.01 * torch.arange(128) / 128, best).lost(3.0)


def test_a_policy_whose_differences_are_all_noise_goes_on() -> None:
    generator = torch.Generator().manual_seed(0)
    best = torch.rand(128, generator=generator, dtype=torch.float64)
    assert not Lap(best + torch.randn(128, generator=generator, dtype=torch.float64), best).lost(3.0)


def test_a_better_policy_goes_on() -> None:
    best = torch.full((128,), 1.0)
    assert not Lap(best - 0.5, best).lost(0.0)


def test_one_image_decides_nothing() -> None:
    assert not Lap(torch.tensor([2.0]), torch.tensor([1.0])).lost(0.0)


def test_the_divergence_on_all_images_is_the_best_ones_plus_the_paired_difference() -> None:
    # The images of the lap are harder than the average: 2.0 against 1.5.
    lap = Lap(torch.tensor([2.5, 2.1]), torch.tensor([2.0, 2.0]))
    assert abs(lap.extrapolated(1.5) - 1.8) < 1e-6


def test_a_policy_that_is_a_little_worse_loses_where_the_margin_is_small() -> None:
    generator = torch.Generator().manual_seed(0)
    best = torch.rand(400, generator=generator, dtype=torch.float64)
    noise = torch.randn(400, generator=generator, dtype=torch.float64)
    lap = Lap(best + 0.1 + noise - noise.mean(), best)  # worse by two standard errors, 0.05 each
    assert lap.lost(1.0)
    assert not lap.lost(3.0)


def test_the_margin_shrinks_from_rung_to_rung() -> None:
    looks = {images: margin_at(images - 64, images) for images in range(64, 4097, 64)}
    assert {images: margin for images, margin in looks.items() if margin is not None} == {128: 3.0, 512: 1.0, 2048: 0.0}
    assert margin_at(100, 200) == 3.0
    assert margin_at(100, 600) == 1.0
