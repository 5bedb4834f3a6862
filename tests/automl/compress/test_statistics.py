import torch
from torch import nn

from automl.compress.statistics import MOST_ENTRIES, input_statistics

IMAGES = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_the_statistics_are_the_mean_and_covariance_of_what_a_layer_reads() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    found = input_statistics(model, ["0", "3"], [IMAGES[:40], IMAGES[40:]])
    pixels = IMAGES.permute(0, 2, 3, 1).reshape(-1, 3).double()
    torch.testing.assert_close(found["0"].mean, pixels.mean(0), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found["0"].covariance, pixels.T.cov(correction=0), atol=1e-5, rtol=1e-4)
    assert (found["0"].entries_per_channel, len(found["3"].mean)) == (1, 4)


def test_a_layer_with_too_many_patch_entries_is_described_by_its_channels() -> None:
    channels = MOST_ENTRIES // 9 + 1
    model = nn.Sequential(nn.Conv2d(3, channels, 1), nn.Conv2d(channels, 4, 3, padding=1))
    found = input_statistics(model, ["1"], [IMAGES[:4]])["1"]
    assert (found.entries_per_channel, len(found.mean)) == (1, channels)


def test_grouped_convolutions_and_functions_are_left_out() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 1, groups=2), nn.ReLU())
    assert input_statistics(model, ["0", "1", "nowhere"], [torch.zeros(2, 4, 8, 8)]) == {}


def test_the_model_comes_back_unchanged() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    input_statistics(model, ["0"], [IMAGES])
    assert model.training
    assert not model[0]._forward_pre_hooks
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
