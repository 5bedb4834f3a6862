import pytest
import torch
from torch import Tensor, nn

from automl.compress.statistics import MOST_ENTRIES, NetworkStatistics, as_matrix, as_weight, input_statistics
from automl.core.errors import SearchError
from automl.tracing.trace import trace
from tests.automl.tracing.test_trace import Grouped

IMAGES = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def statistics_of(model: nn.Module, *batches: Tensor) -> NetworkStatistics:
    return input_statistics(model, trace(model, (3, 8, 8)), batches)


def test_the_statistics_are_the_mean_and_covariance_of_what_a_layer_reads() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = statistics_of(model, IMAGES[:40], IMAGES[40:]).layers["1"]
    pixels = model[0](IMAGES).detach().permute(0, 2, 3, 1).reshape(-1, 4).double()
    torch.testing.assert_close(found.mean, pixels.mean(0), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.covariance, pixels.T.cov(correction=0), atol=1e-6, rtol=1e-5)
    assert (found.entries_per_channel, found.rows) == (1, 64 * 64)


def test_only_layers_that_read_removable_channels_are_described() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    assert list(statistics_of(model, IMAGES).layers) == ["3"]


def test_a_layer_with_too_many_patch_entries_is_described_by_its_channels_and_says_so() -> None:
    channels = MOST_ENTRIES // 9 + 1
    model = nn.Sequential(nn.Conv2d(3, channels, 1), nn.Conv2d(channels, 4, 3, padding=1), nn.Flatten())
    found = statistics_of(model, IMAGES[:4])
    layer = found.layers["1"]
    assert (layer.entries_per_channel, len(layer.mean)) == (1, channels)
    assert found.notes == (
        "Described by their channels alone, because the covariance of whole patches would pass 42.5 MB a layer: 1.",
    )


def test_grouped_convolutions_are_left_out_and_named() -> None:
    found = statistics_of(Grouped(), IMAGES)
    assert list(found.layers) == ["fc"]
    (note,) = found.notes
    assert note.startswith("Not recovered")
    assert note.endswith("42.5 MB: grouped.")


def test_many_layers_are_named_by_the_first_three() -> None:
    width = MOST_ENTRIES // 9 + 1
    layers = [nn.Conv2d(width, width, 3, padding=1) for _ in range(6)]
    model = nn.Sequential(nn.Conv2d(3, width, 1), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert statistics_of(model, IMAGES[:1, :, :2, :2]).notes[0].endswith("1, 2, 3 and 3 more.")


def test_the_batch_norm_behind_a_layer_is_found() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1, bias=False), nn.BatchNorm2d(5), nn.Conv2d(5, 2, 1), nn.Flatten()
    )
    assert statistics_of(model, IMAGES).norms == {"1": "2"}


def test_the_model_comes_back_unchanged() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2), nn.Flatten())
    traced = trace(model, (3, 8, 8))
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    input_statistics(model, traced, [IMAGES])
    assert model.training
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_activations_that_are_not_finite_are_refused_by_name() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1), nn.Flatten())
    traced = trace(model, (3, 8, 8))
    with pytest.raises(SearchError, match="'1' of the dense network reads NaN"):
        input_statistics(model, traced, [torch.full_like(IMAGES, float("inf"))])


@pytest.mark.parametrize(("shape", "entries"), [((4, 6, 3, 3), 9), ((4, 6, 3, 3), 1), ((4, 6, 1, 1), 1), ((4, 6), 1)])
def test_a_weight_comes_back_from_its_matrix(shape: tuple[int, ...], entries: int) -> None:
    weight = torch.randn(shape, dtype=torch.float64)
    assert torch.equal(as_weight(as_matrix(weight, entries), entries, shape[2:]), weight)
