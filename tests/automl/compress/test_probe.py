import torch
from torch import Tensor, nn

from automl.compress.probe import trace_prunable


class HardCoded(nn.Module):
    """Its forward has one layer's width written into it."""

    def __init__(self) -> None:
        super().__init__()
        self.free = nn.Conv2d(3, 8, 1)
        self.written = nn.Conv2d(8, 16, 1)
        self.fc = nn.Linear(16 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        features = torch.relu(self.written(self.free(x)))
        logits: Tensor = self.fc(features.reshape(-1, 16 * 4))
        return logits


def test_a_width_written_into_forward_is_kept_whole_and_named() -> None:
    graph = trace_prunable(HardCoded(), (3, 2, 2)).graph
    assert [group.name for group in graph.prunable] == ["free"]
    reason = next(group.reason for group in graph.groups if group.name == "written")
    assert reason is not None
    assert "does not run" in reason


class Scaled(nn.Module):
    """Divides by a number of channels that was fixed when it was built: it runs, but computes something else."""

    def __init__(self) -> None:
        super().__init__()
        self.free = nn.Conv2d(3, 8, 1)
        self.scaled = nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        features = self.scaled(self.free(x))
        features = features * features.shape[1]
        logits: Tensor = self.fc(features.mean((2, 3)))
        return logits


def test_a_network_that_computes_something_else_is_noticed() -> None:
    graph = trace_prunable(Scaled(), (3, 2, 2)).graph
    assert [group.name for group in graph.prunable] == ["free"]
    reason = next(group.reason for group in graph.groups if group.name == "scaled")
    assert reason is not None
    assert "computes something else" in reason
