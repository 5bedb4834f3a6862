import numpy as np
import pytest
import torch
from torch import Tensor, nn

from automl.compress import sequential
from automl.compress.batch_norm import recalibrate
from automl.compress.importance import most_important, scores
from automl.compress.reconstruction import Recovery
from automl.compress.sequential import SequentialRecovery
from automl.compress.statistics import input_statistics
from automl.compress.surgery import KeptChannels, slim
from automl.core.policy import CompressionPolicy
from automl.evaluate.measure import divergences
from automl.tracing.channel_map import TracedModel
from automl.tracing.trace import trace
from tests.families import lively


class Chain(nn.Module):
    """Three layers without batch norm; channels of the first two can go."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 12, 3, stride=2, padding=1)
        self.fc = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(torch.relu(self.second(torch.relu(self.first(x)))).mean((2, 3)))
        return logits


def images(count: int, size: int = 8) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def halved(traced: TracedModel) -> CompressionPolicy:
    return CompressionPolicy({group.name: group.channels // 2 for group in traced.graph.prunable})


def own(model: nn.Module, traced: TracedModel, kept: KeptChannels) -> nn.Module:
    return slim(model, traced.channel_map, kept, own_memory=True).eval()


def test_a_layer_gets_the_least_squares_weights_for_what_it_really_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequential, "RIDGE", 0.0)
    monkeypatch.setattr(sequential, "_SHRINKAGE", 0.0)
    torch.manual_seed(0)
    model = Chain().eval()
    traced = trace(model, (3, 8, 8))
    batch = images(64)
    kept = {"first": np.arange(8), "second": np.arange(6)}
    smaller = own(model, traced, kept)
    SequentialRecovery(model, traced, batch).apply(smaller, kept)
    with torch.no_grad():
        # The last layer, by numpy, on the features that the compressed network now has.
        features = torch.relu(smaller.get_submodule("second")(torch.relu(smaller.get_submodule("first")(batch))))
        read = features.mean((2, 3)).double().numpy()
        design = np.concatenate([read, np.ones((64, 1))], axis=1)
        expected = np.linalg.lstsq(design, model(batch).double().numpy(), rcond=None)[0]
    fc = smaller.get_submodule("fc")
    assert isinstance(fc, nn.Linear)
    np.testing.assert_allclose(fc.weight.detach().numpy(), expected[:6].T, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(fc.bias.detach().numpy(), expected[6], rtol=1e-3, atol=1e-4)


def test_it_brings_the_network_nearer_to_the_dense_one_than_layers_fitted_alone() -> None:
    model = lively("cifar_resnet20")
    traced = trace(model, (3, 32, 32))
    batch, unseen = images(96, 32), torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    recalibrate(model, [batch])  # as trained networks are: their statistics are those of the images
    order = scores(model, traced, "l2")
    kept = most_important(traced, halved(traced), order)
    alone = own(model, traced, kept)
    Recovery(model, traced, order, input_statistics(model, traced, [batch])).apply(alone, kept)
    fitted = own(model, traced, kept)
    fitted.load_state_dict(alone.state_dict())
    SequentialRecovery(model, traced, batch).apply(fitted, kept)
    with torch.no_grad():
        expected = model(unseen)
        before, after = (float(divergences(net(unseen), expected).mean()) for net in (alone, fitted))
    assert after < before


def test_a_network_that_keeps_all_stays_what_it_was() -> None:
    torch.manual_seed(0)
    model = Chain().eval()
    traced = trace(model, (3, 8, 8))
    smaller = own(model, traced, {})
    SequentialRecovery(model, traced, images(64)).apply(smaller, {})
    with torch.no_grad():
        torch.testing.assert_close(smaller(images(4)), model(images(4)), atol=1e-4, rtol=1e-4)


class ChannelsLast(nn.Module):
    """Linear layers on maps whose channels come last, as in a ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 2, stride=2)
        self.wide = nn.Linear(6, 12)
        self.narrow = nn.Linear(12, 6)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.stem(x).permute(0, 2, 3, 1)
        logits: Tensor = self.fc((maps + self.narrow(self.wide(maps).relu())).mean((1, 2)))
        return logits


def test_linear_layers_on_maps_are_fitted_by_their_last_dimension() -> None:
    torch.manual_seed(0)
    model = ChannelsLast().eval()
    traced = trace(model, (3, 8, 8))
    kept = {"wide": np.arange(6)}
    smaller = own(model, traced, kept)
    batch = images(64)
    with torch.no_grad():
        before = float((smaller(batch) - model(batch)).square().mean())
        SequentialRecovery(model, traced, batch).apply(smaller, kept)
        assert float((smaller(batch) - model(batch)).square().mean()) < 0.1 * before


def test_few_rows_draw_the_weights_towards_what_they_were() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.zeros(1, 1, 4)
    moved = []
    for count in (4, 4000):
        inputs = torch.randn(1, count, 4, generator=generator)
        targets = inputs.sum(dim=2, keepdim=True)
        solved, _ = sequential._solved(inputs, targets, targets.mean(dim=1), weight)
        moved.append(float(solved.mean()))
    # The truth is 1. With 4 rows the ridge is 3 times the variance or more, with 4,000 a hundredth of it.
    assert moved[0] < 0.4
    assert moved[1] == pytest.approx(1 / 1.01, abs=1e-3)


def test_the_dense_network_and_the_flags_of_both_stay_as_they_were() -> None:
    model = lively("cifar_resnet20")
    traced = trace(model, (3, 16, 16))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    kept = most_important(traced, halved(traced), scores(model, traced, "l2"))
    smaller = own(model, traced, kept)
    SequentialRecovery(model, traced, images(16, 16)).apply(smaller, kept)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    norms = [module for module in smaller.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert not any(module.training for module in smaller.modules())
    assert all(norm.momentum == 0.1 for norm in norms)


def test_only_so_many_images_run_as_fit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = Chain().eval()
    traced = trace(model, (3, 8, 8))
    seen: list[int] = []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    # The first layer's output is the largest: 16 x 8 x 8 float32 values, 4,096 bytes an image.
    monkeypatch.setattr(sequential, "MOST_BYTES", 10 * 4096)
    SequentialRecovery(model, traced, images(64))
    assert seen == [2, 10]
