"""Published policies, to the unit: AMC's widths stand here as numbers, GluonCV's files are read where present."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from automl.compress.importance import most_important, scores
from automl.compress.surgery import slim
from automl.core.errors import PolicyError
from automl.core.graph import ModelGraph
from automl.core.policy import CompressionPolicy
from automl.costs.model import AnalyticCostModel
from automl.models.registry import build
from automl.tracing.channel_map import TracedModel
from automl.tracing.trace import trace
from search_spaces.amc import amc_channels, amc_policy
from search_spaces.resnet import gluoncv_policy

V1_HALF_FLOPS = [3, 24, 48, 96, 80, 192, 200, 328, 352, 368, 360, 328, 400, 736, 752]
V1_HALF_TIME = [3, 16, 48, 88, 80, 192, 168, 336, 360, 360, 352, 352, 368, 768, 680]
V2_70_FLOPS = [3, 24, 16, 72, 24, 104, 24, 104, 32, 136, 32, 136, 32, 136, 64, 272, 64, 272, 64, 272, 64, 272]
V2_70_FLOPS += [96, 408, 96, 400, 96, 400, 160, 712, 160, 720, 160, 712, 248, 848]
GLUONCV = Path(__file__).parents[3] / "shared" / "data"


def check(model: nn.Module, traced: TracedModel, policy: CompressionPolicy, macs: float, params: int) -> None:
    cost = AnalyticCostModel(traced.graph)(policy)
    assert round(cost.macs / 1e6, 2) == macs
    assert cost.params == params
    smaller = slim(model, traced.channel_map, most_important(traced, policy, scores(model, traced, "l1"))).eval()
    assert sum(parameter.numel() for parameter in smaller.parameters()) == params
    with torch.no_grad():
        assert smaller(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)


@pytest.mark.parametrize(
    ("spec", "channels", "macs", "params"),
    [
        ("timm:mobilenetv1_100", V1_HALF_FLOPS, 293.87, 2_408_232),
        ("timm:mobilenetv1_100", V1_HALF_TIME, 273.98, 2_279_816),
        ("timm:mobilenetv2_100", V2_70_FLOPS, 210.62, 2_330_272),
        ("torchvision:mobilenet_v2", V2_70_FLOPS, 210.62, 2_330_272),
    ],
)
def test_amc_channel_lists_apply_exactly(spec: str, channels: list[int], macs: float, params: int) -> None:
    model = build(spec)
    traced = trace(model, (3, 224, 224))
    policy = amc_policy(traced.graph, channels)
    check(model, traced, policy, macs, params)
    assert amc_channels(traced.graph, policy) == tuple(channels)


@pytest.mark.parametrize(
    ("name", "macs", "params"),
    [
        ("r50d_1.8x.json", 2336.55, 22_042_360),
        ("r50d_3.6x.json", 972.99, 12_416_200),
        ("r50d_5.9x.json", 602.31, 9_474_560),
        ("r50d_8.8x.json", 193.51, 2_913_616),
    ],
)
def test_gluoncv_pruned_resnets_apply_exactly(name: str, macs: float, params: int) -> None:
    if not (GLUONCV / name).is_file():
        pytest.skip(f"the published file {name} is not on this machine")
    model = build("timm:resnet50d")
    traced = trace(model, (3, 224, 224))
    shapes = json.loads((GLUONCV / name).read_text())
    check(model, traced, gluoncv_policy(traced.graph, shapes), macs, params)


@pytest.fixture(scope="module")
def mobilenet() -> ModelGraph:
    return trace(build("timm:mobilenetv1_100"), (3, 64, 64)).graph


@pytest.mark.parametrize(
    ("channels", "words"),
    [
        (V1_HALF_FLOPS[:-1], "15 numbers"),
        ([1, *V1_HALF_FLOPS[1:]], "input channels"),
        ([3, 999, *V1_HALF_FLOPS[2:]], "1 to 32"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(mobilenet: ModelGraph, channels: list[int], words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        amc_policy(mobilenet, channels)


def test_widths_that_disagree_along_a_residual_sum_are_refused() -> None:
    graph = trace(build("timm:mobilenetv2_100"), (3, 64, 64)).graph
    broken = [*V2_70_FLOPS]
    broken[6] = 16  # the second of two blocks whose outputs are summed; the first says 24
    with pytest.raises(PolicyError, match="must have one width"):
        amc_policy(graph, broken)


def test_a_foreign_key_is_refused(mobilenet: ModelGraph) -> None:
    with pytest.raises(PolicyError, match="resnetv1d_layers2_conv4_weight"):
        gluoncv_policy(mobilenet, {"conv1_weight": [8, 3, 3, 3]})
