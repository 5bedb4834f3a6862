import numpy as np
import torch
from sklearn.datasets import load_digits

from automl.data.digits import open_digits
from automl.data.source import Request


def test_the_digits_are_all_there_in_ten_classes() -> None:
    source = open_digits(Request(None, 3, None, 0))
    assert len(source.images) == 1797
    assert source.classes == tuple("0123456789")
    assert source.in_test is None
    assert source.images[0].shape == (3, 16, 16)


def test_at_their_own_size_the_pixels_are_scikit_learns() -> None:
    source = open_digits(Request(8, 1, None, 0))
    expected = np.asarray(load_digits().images[5]) * 255 / 16
    assert np.abs(source.images[5][0].numpy() - expected).max() <= 0.5


def test_the_normalisation_is_that_of_the_images_given_out() -> None:
    source = open_digits(Request(None, 3, None, 0))
    values = torch.stack([source.images[index] for index in range(1797)]).double() / 255
    assert abs(values.mean().item() - source.normalisation.mean[0]) < 0.005
    assert abs(values.std().item() - source.normalisation.std[0]) < 0.005
