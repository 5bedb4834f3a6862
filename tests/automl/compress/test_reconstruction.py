import numpy as np
import pytest
import torch
from torch import Tensor, nn

from automl.compress.importance import most_important, scores
from automl.compress.reconstruction import Recovery
from automl.compress.surgery import slim
from automl.core.policy import CompressionPolicy
from automl.tracing.trace import trace
from tests.automl.tracing.test_trace import Concat, Grouped, Residual, Shared

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randn(64, 3, 8, 8, generator=GENERATOR)


class Twins(nn.Module):
    """Every channel of the first layer stands twice, and a k x k convolution and a linear layer read them."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 1)
        self.second = nn.Conv2d(16, 6, kernel, padding=kernel // 2)
        self.fc = nn.Linear(6, 4)
        with torch.no_grad():
            for tensor in self.first.parameters():
                tensor[8:] = tensor[:8]

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.second(torch.relu(self.first(x))).mean((2, 3)))
        return logits


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_channel_that_another_one_repeats_is_not_missed(kernel: int) -> None:
    torch.manual_seed(0)
    model = Twins(kernel).eval()
    traced = trace(model, (3, 8, 8))
    order = {"first": np.arange(16, 0, -1.0), "second": np.ones(6)}
    kept = most_important(traced, CompressionPolicy({"first": 8}), order)
    plain, recovered = (slim(model, traced.channel_map, kept) for _ in range(2))
    Recovery(model, traced, order, [IMAGES]).apply(recovered, kept)
    with torch.no_grad():
        expected = model(IMAGES)
        assert float((plain(IMAGES) - expected).abs().max()) > 0.05
        # The ridge leaves a thousandth.
        torch.testing.assert_close(recovered(IMAGES), expected, atol=5e-3, rtol=0)


def test_the_recovered_weights_are_those_of_an_ordinary_least_squares_fit() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 12, 1), nn.Tanh(), nn.Conv2d(12, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    traced = trace(model, (3, 8, 8))
    order = scores(model, traced, "l1")
    kept = most_important(traced, CompressionPolicy({"0": 7}), order)
    smaller = slim(model, traced.channel_map, kept)
    Recovery(model, traced, order, [IMAGES]).apply(smaller, kept)
    with torch.no_grad():
        inputs = model[1](model[0](IMAGES)).permute(0, 2, 3, 1).reshape(-1, 12).double()
        outputs = model[2](model[1](model[0](IMAGES))).permute(0, 2, 3, 1).reshape(-1, 5).double()
        design = torch.cat([inputs[:, torch.from_numpy(kept["0"])], torch.ones(len(inputs), 1).double()], dim=1)
        solution = torch.linalg.lstsq(design, outputs).solution
        best = float((design @ solution - outputs).square().mean())
        weight, bias = smaller.get_parameter("2.weight").double(), smaller.get_parameter("2.bias").double()
        found = float((design[:, :-1] @ weight.flatten(1).T + bias - outputs).square().mean())
    # 64 positions of an 8 x 8 map are all of them, so only the ridge separates the two.
    assert best <= found <= 1.01 * best


@pytest.mark.parametrize("kind", [Residual, Concat, Shared, Grouped])
def test_at_full_width_nothing_changes(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = kind().eval()
    traced = trace(model, (3, 8, 8))
    recovery = Recovery(model, traced, scores(model, traced, "l1"), [IMAGES])
    for inputs in (np.arange(8), np.arange(16)):
        for name, solver in recovery._solvers.items():
            weight = model.get_parameter(f"{name}.weight").detach().double()
            if weight.shape[1] == len(inputs):
                found = solver.solve(inputs)
                torch.testing.assert_close(found.weight, weight, atol=1e-8, rtol=1e-6)
                torch.testing.assert_close(found.shift, torch.zeros_like(found.shift), atol=1e-8, rtol=0)


@pytest.mark.parametrize("kind", [Residual, Concat, Shared, Grouped])
def test_recovery_comes_nearer_to_the_dense_network_for_every_coupling(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = kind().eval()
    traced = trace(model, (3, 8, 8))
    order = scores(model, traced, "l1")
    policy = CompressionPolicy({group.name: max(1, group.channels * 3 // 4) for group in traced.graph.prunable})
    kept = most_important(traced, policy, order)
    plain, recovered = (slim(model, traced.channel_map, kept) for _ in range(2))
    Recovery(model, traced, order, [IMAGES]).apply(recovered, kept)
    fresh = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(fresh)
        errors = [float((each(fresh) - expected).square().mean()) for each in (plain, recovered)]
    assert errors[1] < errors[0]


def test_neither_the_dense_network_nor_what_it_shares_is_written() -> None:
    model = Concat().eval()
    traced = trace(model, (3, 8, 8))
    order = scores(model, traced, "l1")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    kept = most_important(traced, CompressionPolicy({"right": 6}), order)
    smaller = slim(model, traced.channel_map, kept)
    Recovery(model, traced, order, [IMAGES]).apply(smaller, kept)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert smaller.get_parameter("left.weight") is model.left.weight
