import copy
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from automl.compress.importance import most_important, scores
from automl.compress.surgery import slim
from automl.core.errors import ExportError
from automl.core.policy import CompressionPolicy, checked_policy
from automl.costs.model import AnalyticCostModel
from automl.export.onnx_file import export_onnx
from automl.export.recount import recount
from automl.export.verify import check, parity
from automl.models.registry import build
from automl.tracing.trace import trace
from tests.automl.export.conftest import OwnNet, randomise
from tests.families import lively


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def images(size: int) -> list[Tensor]:
    """A batch of three and one of a single image."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(count, 3, size, size, generator=generator) for count in (3, 1)]


def test_the_file_computes_what_the_network_computes_for_any_batch(own_net: OwnNet, own_file: Path) -> None:
    check(parity(own_net, own_file, images(8)))


def test_batch_norm_and_dropout_are_not_in_the_file(own_file: Path) -> None:
    assert operators(own_file) == ["Conv", "Relu", "MaxPool", "Reshape", "Gemm"]


def test_the_network_comes_back_unchanged(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten())
    model.train()
    model[1].eval()
    before = copy.deepcopy(model)

    export_onnx(model, (3, 4, 4), tmp_path / "model.onnx")

    assert [module.training for module in model.modules()] == [module.training for module in before.modules()]
    assert model[2].inplace
    for (name, tensor), (_, old) in zip(model.state_dict().items(), before.state_dict().items(), strict=True):
        assert torch.equal(tensor, old), name
    assert list(tmp_path.iterdir()) == [tmp_path / "model.onnx"]


def test_input_and_output_have_names_and_a_free_batch(own_file: Path) -> None:
    graph = onnx.load(own_file).graph
    shapes = {
        value.name: [dimension.dim_param or dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {"images": ["batch", 3, 8, 8], "logits": ["batch", 5]}


def test_the_file_is_the_weights_and_little_more(own_file: Path) -> None:
    model = onnx.load(own_file)
    weights = sum(4 * int(np.prod(tensor.dims)) for tensor in model.graph.initializer)
    assert own_file.stat().st_size - weights < 250 * len(model.graph.node)
    assert b"stack_trace" not in own_file.read_bytes()


def test_the_opset_is_one_that_older_runtimes_read(own_file: Path) -> None:
    assert [(opset.domain, opset.version) for opset in onnx.load(own_file).opset_import] == [("", 18)]


def test_a_forward_pass_that_branches_on_values_is_refused_with_the_way_out(tmp_path: Path) -> None:
    class Branching(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1) if images.sum() > 0 else -images.flatten(1)

    with pytest.raises(ExportError, match="Branching cannot be exported"):
        export_onnx(Branching(), (3, 4, 4), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spec", "blocks", "convolutions"),
    [("cifar_resnet20", 9, 3), pytest.param("torchvision:mobilenet_v2", 10, 22, marks=pytest.mark.slow)],
)
def test_dropped_branches_leave_one_addition_each(tmp_path: Path, spec: str, blocks: int, convolutions: int) -> None:
    model = lively(spec)
    traced = trace(model, (3, 32, 32))
    policy = checked_policy(
        traced.graph, CompressionPolicy({group.name: 0 for group in traced.graph.groups if group.droppable})
    )
    smaller = slim(model, traced.channel_map, most_important(traced, policy, scores(model, traced, "l1"))).eval()
    path = tmp_path / "model.onnx"
    export_onnx(smaller, (3, 32, 32), path)
    counts = Counter(operators(path))
    assert (counts["Add"], counts["Conv"]) == (blocks, convolutions)
    assert set(counts) <= {"Add", "Conv", "Relu", "Clip", "ReduceMean", "Reshape", "Gemm"}
    result = parity(smaller, path, images(32))
    assert result.max_abs_difference < 1e-5
    counted, predicted = recount(path), AnalyticCostModel(traced.graph)(policy)
    assert counted.macs == predicted.macs
    assert counted.params <= predicted.params
    assert counted.file_bytes <= predicted.size_bytes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "convolutions"),
    [("torchvision:mobilenet_v2", 52), ("torchvision:mobilenet_v3_small", 52), ("timm:resnet18", 20)],
)
def test_a_family_is_exported_with_every_batch_norm_folded(tmp_path: Path, spec: str, convolutions: int) -> None:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = build(spec)
    randomise(model)
    path = tmp_path / "model.onnx"
    export_onnx(model, (3, 64, 64), path)
    assert operators(path).count("Conv") == convolutions
    assert "BatchNormalization" not in operators(path)
    result = parity(model, path, images(64))
    assert result.same_top1 == 1
    with torch.no_grad():
        largest = float(model.eval()(images(64)[0]).abs().max())
    assert result.max_abs_difference < 1e-5 * max(1.0, largest)
