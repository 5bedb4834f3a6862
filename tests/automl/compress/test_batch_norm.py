import copy

import pytest
import torch
from torch import Tensor, nn

from automl.compress.batch_norm import NormFinder, correct, recalibrate
from automl.core.errors import DataError


class Counting(nn.Module):
    """Counts its forward passes."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return images


def images_of(*sizes: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [3 * torch.randn(size, 3, 4, 4, generator=generator) + 1 for size in sizes]


def norm(model: nn.Sequential, index: int) -> nn.BatchNorm2d:
    layer = model[index]
    assert isinstance(layer, nn.BatchNorm2d)
    return layer


def mean_of(layer: nn.BatchNorm2d) -> Tensor:
    assert layer.running_mean is not None
    return layer.running_mean


def test_the_mean_is_that_of_all_images_together_even_when_the_last_batch_is_small() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3))
    batches = images_of(8, 8, 2)

    recalibrate(model, batches)

    torch.testing.assert_close(mean_of(norm(model, 0)), torch.cat(batches).mean(dim=(0, 2, 3)))


def test_the_variance_of_one_batch_is_the_unbiased_variance_of_its_values() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3))
    (batch,) = images_of(16)

    recalibrate(model, [batch])

    torch.testing.assert_close(norm(model, 0).running_var, batch.var(dim=(0, 2, 3), unbiased=True))


def test_the_variance_of_several_batches_is_their_mean_weighted_by_images() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3))
    first, second = images_of(12, 4)

    recalibrate(model, [first, second])

    expected = 0.75 * first.var(dim=(0, 2, 3)) + 0.25 * second.var(dim=(0, 2, 3))
    torch.testing.assert_close(norm(model, 0).running_var, expected)


def test_earlier_statistics_are_forgotten_even_where_they_are_nan() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3))
    mean_of(norm(model, 0)).fill_(float("nan"))
    (batch,) = images_of(16)

    recalibrate(model, [batch])

    torch.testing.assert_close(mean_of(norm(model, 0)), batch.mean(dim=(0, 2, 3)))


def test_flags_momentum_parameters_and_gradients_are_as_before() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, momentum=0.3), nn.Dropout(0.5), nn.BatchNorm2d(3, momentum=None)
    )
    model.train()
    norm(model, 1).eval()  # a frozen layer
    before = copy.deepcopy(model)

    recalibrate(model, images_of(4, 4))

    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    assert (norm(model, 1).momentum, norm(model, 3).momentum) == (0.3, None)
    for parameter, old in zip(model.parameters(), before.parameters(), strict=True):
        assert torch.equal(parameter, old)
        assert parameter.grad is None
    assert not torch.equal(mean_of(norm(model, 1)), mean_of(norm(before, 1)))


def test_dropout_is_off_while_measuring() -> None:
    model = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm2d(3)).train()
    (batch,) = images_of(16)

    recalibrate(model, [batch])

    torch.testing.assert_close(mean_of(norm(model, 1)), batch.mean(dim=(0, 2, 3)))


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)])
def test_a_network_without_running_statistics_is_not_run(layer: nn.Module) -> None:
    counter = Counting()

    recalibrate(nn.Sequential(counter, layer), images_of(4))

    assert counter.calls == 0


def test_a_batch_of_one_image_is_skipped() -> None:
    # Global pooling leaves one value per channel and image, which batch norm refuses for a single image.
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3))
    batches = images_of(8, 1)

    recalibrate(model, batches)

    torch.testing.assert_close(mean_of(norm(model, 1)), batches[0].mean(dim=(0, 2, 3)))


def test_without_two_images_the_statistics_stay_and_the_reason_is_given() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3))
    mean_of(norm(model, 0)).fill_(7)

    with pytest.raises(DataError, match="at least 2 images"):
        recalibrate(model, images_of(1))

    assert mean_of(norm(model, 0)).tolist() == [7, 7, 7]


class Wired(nn.Module):
    """Layers whose outputs batch norms read directly, after an activation, twice, and together with another's."""

    def __init__(self) -> None:
        super().__init__()
        self.direct, self.activated, self.split, self.one, self.other = (nn.Conv2d(3, 3, 1) for _ in range(5))
        self.of_direct, self.of_activated, self.left, self.right, self.common = (nn.BatchNorm2d(3) for _ in range(5))

    def forward(self, images: Tensor) -> Tensor:
        x = self.of_direct(self.direct(images))
        x = self.of_activated(torch.relu(self.activated(x)))
        x = self.split(x)
        x = self.left(x) + self.right(x)
        return torch.as_tensor(self.common(self.one(x)) + self.common(self.other(x)))


def test_a_batch_norm_belongs_to_a_layer_where_both_have_no_other_partner() -> None:
    model = Wired().eval()
    finder = NormFinder(dict(model.named_modules()), ["direct", "activated", "split", "one", "other", "nowhere"])
    with finder.watching(), torch.no_grad():
        for batch in images_of(4, 4):
            model(batch)
    assert finder.found() == {"direct": "of_direct"}
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_correction_shifts_the_mean_and_scales_the_variance_within_reason() -> None:
    layer = nn.BatchNorm2d(3)
    before = mean_of(layer)
    correct(layer, torch.tensor([1.0, 0.0, -1.0]), torch.tensor([0.5, 99.0, 0.0]))
    assert mean_of(layer).tolist() == [-1, 0, 1]
    assert layer.running_var is not None
    assert layer.running_var.tolist() == pytest.approx([0.5, 10.0, 0.01])
    assert before.tolist() == [0, 0, 0]  # the buffer may belong to another network too
