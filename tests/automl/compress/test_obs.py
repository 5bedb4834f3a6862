import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.compress import obs
from automl.compress.importance import scores
from automl.compress.obs import Consumer, elimination_order
from automl.compress.reconstruction import Recovery
from automl.compress.statistics import input_statistics
from automl.tracing.trace import trace
from tests.automl.tracing.test_trace import Concat, Grouped, Residual, Shared

IMAGES = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def problem(channels: int, entries: int, outputs: int, seed: int) -> tuple[Tensor, Tensor]:
    """A factor of a covariance with strong ties between inputs, and weights of very different sizes."""
    generator = torch.Generator().manual_seed(seed)
    size = channels * entries
    mixed = torch.randn(4 * size, size, dtype=torch.float64, generator=generator)
    mixed = mixed @ torch.randn(size, size, dtype=torch.float64, generator=generator)
    weight = torch.randn(outputs, size, dtype=torch.float64, generator=generator)
    return mixed / mixed.std(), weight * torch.rand(size, dtype=torch.float64, generator=generator)


def consumer(rows: Tensor, weight: Tensor, channels: int) -> Consumer:
    return Consumer(torch.linalg.inv(rows.T @ rows), weight.clone(), channels)


def error(rows: Tensor, weight: Tensor, kept: list[int], channels: int) -> float:
    """Squared error of the best fit with these channels, by `lstsq` on the rows."""
    targets = rows @ weight.T
    entries = torch.arange(rows.shape[1]).reshape(channels, -1)[kept].flatten()
    left = targets - rows[:, entries] @ torch.linalg.lstsq(rows[:, entries], targets).solution
    return float(left.square().sum())


def test_each_step_removes_the_channel_that_all_readers_together_miss_least() -> None:
    readers = [problem(7, 1, 5, 0), problem(7, 4, 3, 1), problem(7, 2, 40, 2)]
    found = elimination_order([consumer(*each, channels=7) for each in readers])
    kept = list(range(7))
    for channel in found[:-1]:
        tried = {c: sum(error(*each, [k for k in kept if k != c], 7) for each in readers) for c in kept}
        assert channel == min(tried, key=tried.__getitem__)
        kept.remove(int(channel))
    assert sorted(found) == list(range(7))


def test_of_two_equal_channels_one_goes_first_and_the_other_is_then_missed() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(600, 150, dtype=torch.float64, generator=generator)  # so many that several go in a step
    rows[:, 149] = rows[:, 0] + 0.01 * rows[:, 149]
    weight = 1 + torch.rand(20, 150, dtype=torch.float64, generator=generator)
    weight[:, [0, 149]] *= 3
    place = np.argsort(elimination_order([consumer(rows, weight, 150)]))
    assert sorted(place[[0, 149]]) == [0, 149]


def test_in_a_wide_group_steps_of_several_channels_lose_almost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    readers = [problem(200, 1, 30, 4), problem(200, 1, 60, 5)]

    def lost(order: NDArray[np.int64]) -> float:
        return sum(error(*each, order[100:].tolist(), 200) for each in readers)

    quick = lost(elimination_order([consumer(*each, 200) for each in readers]))
    monkeypatch.setattr(obs, "_ONE_BY_ONE", 1000)
    assert quick == pytest.approx(lost(elimination_order([consumer(*each, 200) for each in readers])), rel=0.03)


@pytest.mark.parametrize("kind", [Residual, Concat, Shared])
def test_after_recovery_the_order_loses_less_than_a_norm_does(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = kind().eval()
    traced = trace(model, (3, 8, 8))
    statistics = input_statistics(model, traced, [IMAGES])
    curves = {}
    for criterion in ("obs", "l2"):
        order = scores(model, traced, criterion, statistics=statistics)
        assert {group: len(values) for group, values in order.items()} == dict(traced.channel_map.channels)
        recovery = Recovery(model, traced, order, statistics)
        curves[criterion] = sum(float(recovery.curve(group).mean()) for group in traced.channel_map.channels)
    assert curves["obs"] < curves["l2"]


def test_a_group_that_no_described_layer_reads_is_ranked_by_l2() -> None:
    model = Grouped().eval()
    traced = trace(model, (3, 8, 8))
    statistics = input_statistics(model, traced, [IMAGES])
    by_obs, by_l2 = (scores(model, traced, criterion, statistics=statistics) for criterion in ("obs", "l2"))
    assert np.array_equal(by_obs["first"], by_l2["first"])  # only the grouped convolution reads it
    assert sorted(by_obs["grouped"]) == list(range(8))


def test_without_statistics_the_caller_is_told() -> None:
    model = Residual()
    with pytest.raises(ValueError, match="needs the input statistics"):
        scores(model, trace(model, (3, 8, 8)), "obs")
