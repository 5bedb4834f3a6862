import pytest
import torch
from torch import Tensor, nn

from automl.core.graph import ModelGraph
from automl.tracing.trace import trace
from tests.automl.tracing.test_trace import Concat, Residual
from tests.families import lively


def branches(graph: ModelGraph) -> dict[str, tuple[str, ...]]:
    return {group.name: group.drops for group in graph.groups if group.droppable}


class Bottleneck(nn.Module):
    """1x1, depthwise 3x3 with squeeze-excite, grouped 3x3 and 1x1, added to what they read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.first = nn.Conv2d(8, 6, 1)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.squeeze = nn.Conv2d(6, 2, 1)
        self.excite = nn.Conv2d(2, 6, 1)
        self.grouped = nn.Conv2d(6, 4, 3, padding=1, groups=2)
        self.last = nn.Conv2d(4, 8, 1)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.depthwise(self.first(x).relu())
        y = y * self.excite(self.squeeze(y.mean((2, 3), keepdim=True)).relu()).sigmoid()
        x = x + self.last(self.grouped(y))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def test_a_branch_takes_along_all_that_only_it_reads() -> None:
    assert branches(trace(Bottleneck(), (3, 4, 4)).graph) == {"grouped": ("first", "squeeze")}


class Narrowing(nn.Module):
    """Two blocks of one stage: the first has no shortcut, the second has one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.expand1 = nn.Conv2d(4, 8, 1)
        self.project1 = nn.Conv2d(8, 4, 1, stride=2)
        self.expand2 = nn.Conv2d(4, 8, 1)
        self.project2 = nn.Conv2d(8, 4, 1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.project1(self.expand1(self.stem(x)).relu())
        x = self.project2(self.expand2(x).relu()) + x
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def test_a_block_without_a_shortcut_is_no_branch_though_later_blocks_share_its_outputs() -> None:
    graph = trace(Narrowing(), (3, 4, 4)).graph
    assert next(group for group in graph.groups if group.name == "project1").producers == ("project1", "project2")
    assert branches(graph) == {"expand2": ()}


class TwoReaders(nn.Module):
    """The first layer of a branch is read by the classifier too."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.first = nn.Conv2d(4, 8, 1)
        self.second = nn.Conv2d(8, 6, 1)
        self.last = nn.Conv2d(6, 4, 1)
        self.fc = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        inner = self.first(x)
        x = x + self.last(self.second(inner))
        logits: Tensor = self.fc(torch.cat([x, inner], dim=1).mean((2, 3)))
        return logits


def test_what_others_read_too_stays() -> None:
    assert branches(trace(TwoReaders(), (3, 4, 4)).graph) == {"second": ()}


@pytest.mark.parametrize("kind", [Residual, Concat])
def test_a_gate_and_a_concatenation_are_no_sums(kind: type[nn.Module]) -> None:
    assert branches(trace(kind(), (3, 8, 8)).graph) == {}


@pytest.mark.parametrize(
    ("spec", "count", "drops"),
    [
        ("cifar_resnet20", 9, 0),
        ("torchvision:resnet18", 8, 0),
        ("torchvision:resnet50", 16, 1),  # the first block of a stage has a shortcut too
        ("torchvision:mobilenet_v2", 10, 0),  # 17 blocks, of which 7 change the shape
        ("torchvision:mobilenet_v3_small", 6, None),
        ("timm:regnety_004", 16, 2),
        ("torchvision:densenet121", 0, None),
    ],
)
def test_the_residual_blocks_of_published_networks(spec: str, count: int, drops: int | None) -> None:
    found = branches(trace(lively(spec), (3, 32, 32)).graph)
    assert len(found) == count
    assert drops is None or all(len(inner) == drops for inner in found.values())


class Towers(nn.Module):
    """Two sums of which one is within a branch of the other."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.down = nn.Conv2d(4, 8, 1)
        self.inner = nn.Conv2d(8, 6, 1)
        self.inner_end = nn.Conv2d(6, 8, 1)
        self.up = nn.Conv2d(8, 4, 1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.down(x)
        y = y + self.inner_end(self.inner(y).relu())
        logits: Tensor = self.fc((x + self.up(y)).mean((2, 3)))
        return logits


def test_of_branches_within_branches_only_the_innermost_may_go() -> None:
    assert branches(trace(Towers(), (3, 4, 4)).graph) == {"inner": ()}
