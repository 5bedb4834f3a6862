import pytest
import torch
from torch import Tensor, nn

from automl.core.bits import BitWidths
from automl.core.errors import PolicyError
from automl.core.graph import ModelGraph
from automl.core.policy import CompressionPolicy, dense_policy
from automl.models.registry import build
from automl.tracing.trace import trace
from search_spaces.amc import amc_channels, amc_policy
from tests.branched import branched_graph

VGG16 = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
MOBILENET_V1 = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)


@pytest.fixture(scope="module")
def vgg() -> ModelGraph:
    return trace(build("torchvision:vgg16_bn", classes=10), (3, 32, 32)).graph


def thinned(graph: ModelGraph) -> CompressionPolicy:
    """Another share of each group."""
    return CompressionPolicy({g.name: g.channels // (2 + place) + 1 for place, g in enumerate(graph.prunable)})


def test_a_list_names_the_input_and_every_width_but_the_classes(vgg: ModelGraph) -> None:
    assert amc_channels(vgg, dense_policy(vgg)) == (3, *VGG16, 4096, 4096)
    mobilenet = trace(build("timm:mobilenetv1_100"), (3, 32, 32)).graph
    assert amc_channels(mobilenet, CompressionPolicy({})) == (3, *MOBILENET_V1)


def test_what_was_written_of_vgg_reads_as_the_same_policy(vgg: ModelGraph) -> None:
    channels = amc_channels(vgg, thinned(vgg))
    assert channels is not None
    assert len(channels) == 16
    assert amc_policy(vgg, channels) == thinned(vgg)


def test_a_list_of_convolutions_leaves_linear_layers_whole(vgg: ModelGraph) -> None:
    policy = amc_policy(vgg, [3, *(width // 2 for width in VGG16)])
    assert (policy.channels["features.0"], policy.channels["features.40"]) == (32, 256)
    assert (policy.channels["classifier.0"], policy.channels["classifier.3"]) == (4096, 4096)


def test_a_list_of_another_length_is_refused_with_both_that_fit(vgg: ModelGraph) -> None:
    with pytest.raises(PolicyError, match=r"has 14 numbers.*or 16 with the 2 linear layers.*but got 15"):
        amc_policy(vgg, [3, *VGG16, 4096])


def test_no_list_says_that_a_branch_is_dropped() -> None:
    graph = branched_graph()
    assert amc_channels(graph, CompressionPolicy({"s": 12, "a": 3, "b": 2})) == (3, 12, 3, 2, 12)
    assert amc_channels(graph, CompressionPolicy({"s": 12, "a": 0, "b": 0})) is None


class Grouped(nn.Module):
    """A grouped convolution, of which a policy keeps positions in every group."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 1)
        self.grouped = nn.Conv2d(8, 8, 3, groups=2)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.grouped(self.first(x).relu()).mean((2, 3)))
        return logits


def test_no_list_is_written_where_it_would_not_read_as_the_policy() -> None:
    with torch.no_grad():
        graph = trace(Grouped(), (3, 4, 4)).graph
    assert any(layer.outputs.terms[0][1] != 1 for layer in graph.layers)
    assert amc_channels(graph, dense_policy(graph)) is None


def test_bit_widths_have_no_place_in_a_list() -> None:
    graph = branched_graph()
    policy = CompressionPolicy({"s": 12}, {"s": BitWidths(8, 8)})
    assert amc_channels(graph, policy) == amc_channels(graph, CompressionPolicy({"s": 12}))
