from functools import cache

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from onnxruntime import InferenceSession  # type: ignore[attr-defined]
from torch import Tensor, nn

from automl.compress.places import with_quantizable
from automl.compress.probe import trace_prunable
from automl.core.policy import CompressionPolicy, dense_policy
from automl.costs.model import AnalyticCostModel
from automl.pipeline.probing import exported_graph, graph_template, random_policies
from automl.runtime.target import Precision
from automl.runtime.template import GraphTemplate
from automl.tracing.channel_map import TracedModel
from search_spaces.rules import WidthRule
from search_spaces.space import channel_space

SHAPE = (3, 16, 16)


class Mixed(nn.Module):
    """Residual, depthwise, grouped, concatenated, and flattened with a size that is written out."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.wide = nn.Conv2d(16, 24, 1)
        self.depthwise = nn.Conv2d(24, 24, 3, padding=1, groups=24)
        self.narrow = nn.Conv2d(24, 16, 1)
        self.side = nn.Conv2d(16, 8, 3, padding=1, groups=4)
        self.fc = nn.Linear(24 * 16, 6)

    def forward(self, images: Tensor) -> Tensor:
        stem = torch.relu(self.norm(self.stem(images)))
        maps = stem + self.narrow(torch.relu(self.depthwise(torch.relu(self.wide(stem)))))
        maps = nn.functional.max_pool2d(torch.cat([maps, torch.relu(self.side(maps))], dim=1), 2)
        logits: Tensor = self.fc(maps.flatten(1))
        return logits


def opened(model: nn.Module) -> tuple[nn.Module, TracedModel]:
    torch.manual_seed(0)
    model.eval()
    return model, with_quantizable(model, trace_prunable(model, SHAPE))


@cache
def mixed(precision: Precision) -> tuple[GraphTemplate, TracedModel]:
    model, traced = opened(Mixed())
    return graph_template(model, traced, precision), traced


def sizes(proto: onnx.ModelProto) -> list[tuple[int, ...]]:
    """Shapes of all constants in the order in which nodes read them, whatever makes them."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type == "ConstantOfShape":
            shapes[node.output[0]] = tuple(values[node.input[0]].tolist())
    rest = [node for node in proto.graph.node if node.op_type != "ConstantOfShape"]
    return [shapes[name] for node in rest for name in node.input if name in shapes]


def some_widths(traced: TracedModel, seed: int) -> dict[str, int]:
    generator = np.random.default_rng(seed)
    return {group.name: int(generator.integers(1, group.channels + 1)) for group in traced.graph.prunable}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_template_has_the_sizes_of_the_exported_network(precision: Precision) -> None:
    template, traced = mixed(precision)
    widths = some_widths(traced, 1)
    assert sizes(template.at(widths)) == sizes(exported_graph(opened(Mixed())[0], traced, widths, precision))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_graph_runs_at_any_width_and_gives_finite_logits(precision: Precision) -> None:
    template, traced = mixed(precision)
    images = np.random.default_rng(0).standard_normal((1, *SHAPE), dtype=np.float32)
    for widths in (some_widths(traced, 5), dict.fromkeys(some_widths(traced, 5), 1)):
        session = InferenceSession(template.at(widths).SerializeToString(), providers=["CPUExecutionProvider"])
        logits = np.asarray(session.run(None, {"images": images})[0])
        assert logits.shape == (1, 6)
        assert np.isfinite(logits).all()


def test_random_policies_reach_from_narrow_to_nearly_whole() -> None:
    layers = [nn.Conv2d(3, 32, 3), nn.Conv2d(32, 48, 3), nn.Conv2d(48, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    traced = trace_prunable(nn.Sequential(*layers), SHAPE)
    knobs = channel_space(traced.graph, WidthRule(4)).knobs
    policies = random_policies(traced.graph, knobs, count=20, seed=0)
    assert policies == random_policies(traced.graph, knobs, count=20, seed=0)
    cost_model = AnalyticCostModel(traced.graph)
    macs = [cost_model(CompressionPolicy(each)).macs for each in policies]
    dense = cost_model(dense_policy(traced.graph)).macs
    assert min(macs) < 0.1 * dense
    assert max(macs) > 0.7 * dense
    for policy in policies:
        assert all(policy[knob.target] in knob.choices and policy[knob.target] > 0 for knob in knobs)
