import pytest
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


class Branch(nn.Module):
    """A branch of two layers and, between them, `middle`."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.first = nn.Conv2d(8, 4, 1)
        self.middle = middle
        self.last = nn.Conv2d(4, 8, 1)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.last(self.middle(self.first(x)))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


class Scale(nn.Module):
    """One learned factor per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Unpadded(nn.Module):
    """Pads by itself and convolves without padding."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, groups=4)

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.conv(nn.functional.pad(x, (1, 1, 1, 1)))
        return maps


@pytest.mark.parametrize(
    ("middle", "droppable"),
    [(nn.ReLU(), True), (nn.PReLU(4), True), (nn.BatchNorm2d(4), True), (Scale(), False), (Unpadded(), False)],
)
def test_a_branch_is_droppable_only_where_the_drop_works(middle: nn.Module, droppable: bool) -> None:
    traced = trace_prunable(Branch(middle), (3, 4, 4))
    first = next(group for group in traced.graph.groups if group.name == "first")
    assert first.prunable
    assert first.droppable == droppable


def test_one_branch_that_cannot_go_leaves_the_others_free() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scaled, self.plain = Branch(Scale()), Branch(nn.ReLU())

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.scaled(x) + self.plain(x)
            return logits

    graph = trace_prunable(Two(), (3, 4, 4)).graph
    assert [group.name for group in graph.groups if group.droppable] == ["plain.first"]
