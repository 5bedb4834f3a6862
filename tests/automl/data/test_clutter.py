import time

import pytest
import torch

from automl.core.errors import DataError
from automl.data.clutter import CLASSES, draw, open_clutter
from automl.data.source import Request


def test_there_are_more_than_twenty_classes_all_drawn_evenly() -> None:
    _, labels = draw(3000)
    counts = torch.bincount(labels, minlength=len(CLASSES))
    assert len(CLASSES) == 24
    # 125 expected of each; 45 is four standard deviations of a binomial with p = 1/24.
    assert (counts - 125).abs().max() < 45


def test_the_same_images_come_every_time() -> None:
    pixels, labels = draw(64)
    before = torch.random.get_rng_state()
    again, labels_again = draw(64)
    assert torch.equal(pixels, again)
    assert torch.equal(labels, labels_again)
    assert torch.equal(before, torch.random.get_rng_state())


def test_pixels_are_bytes_of_colour_images_that_all_differ() -> None:
    pixels, _ = draw(200)
    assert pixels.shape == (200, 3, 32, 32)
    assert pixels.dtype == torch.uint8
    assert len(torch.unique(pixels.flatten(1), dim=0)) == 200


def test_two_thousand_images_are_drawn_in_seconds() -> None:
    begun = time.process_time()
    draw(2000)
    assert time.process_time() - begun < 5


def test_a_fifth_is_the_test_set() -> None:
    source = open_clutter(1000, Request(None, 3, None, 0))
    assert source.in_test is not None
    assert source.in_test.tolist() == [False] * 800 + [True] * 200


def test_the_normalisation_is_that_of_the_images() -> None:
    source = open_clutter(1000, Request(None, 3, None, 0))
    values = torch.stack([source.images[index] for index in range(1000)]).double() / 255
    for channel in range(3):
        assert abs(values[:, channel].mean().item() - source.normalisation.mean[channel]) < 0.02
        assert abs(values[:, channel].std().item() - source.normalisation.std[channel]) < 0.03


def test_too_few_images_are_refused() -> None:
    with pytest.raises(DataError, match="at least 500 images, but got 499"):
        open_clutter(499, Request(None, 3, None, 0))
