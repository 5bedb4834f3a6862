from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torchvision.models import get_model  # type: ignore[attr-defined]

from automl.compress.importance import most_important, scores
from automl.compress.surgery import slim
from automl.core.errors import InputError
from automl.costs.model import AnalyticCostModel
from automl.export.onnx_file import export_onnx
from automl.export.recount import recount
from automl.tracing.trace import trace
from search_spaces.rules import default_rule
from search_spaces.space import channel_space
from tests.automl.export.conftest import OwnNet, randomise
from tests.families import lively


def write_graph(
    path: Path, nodes: list[onnx.NodeProto], constants: dict[str, tuple[int, ...]], image: tuple[int, int, int]
) -> Path:
    """A classifier of `nodes` from `images` to `logits`, its float constants filled with distinct values."""
    source = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["batch", *image])
    target = helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", None])
    tensors = [
        numpy_helper.from_array(np.arange(np.prod(shape), dtype=np.float32).reshape(shape) + 1, name)
        for name, shape in constants.items()
    ]
    graph = helper.make_graph(nodes, "net", [source], [target], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def test_a_convolution_and_a_linear_layer_are_counted_by_hand(own_file: Path) -> None:
    cost = recount(own_file)
    # 3x3 convolution, 3 -> 8 channels on an 8x8 map; then 128 -> 5.
    assert cost.macs == 9 * 3 * 8 * 64 + 128 * 5
    # Weights and biases; the batch norm is folded into them.
    assert cost.params == 9 * 3 * 8 + 8 + 128 * 5 + 5
    assert cost.file_bytes == own_file.stat().st_size


def test_a_grouped_convolution_reads_its_group_only(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["maps"], group=2, strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Flatten", ["maps"], ["logits"]),
    ]
    path = write_graph(tmp_path / "m.onnx", nodes, {"w": (6, 2, 3, 3)}, (4, 8, 8))
    # Each of 6 filters reads 2 channels with 3x3 weights at 4x4 places.
    assert (recount(path).macs, recount(path).params) == (6 * 2 * 9 * 16, 6 * 2 * 9)


def test_a_transposed_convolution_multiplies_at_each_place_of_its_input(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ConvTranspose", ["images", "w"], ["maps"], strides=[2, 2]),
        helper.make_node("Flatten", ["maps"], ["logits"]),
    ]
    path = write_graph(tmp_path / "m.onnx", nodes, {"w": (4, 3, 2, 2)}, (4, 8, 8))
    assert recount(path).macs == 4 * 64 * 3 * 4


def test_a_product_with_a_learned_matrix_is_counted_and_one_of_two_maps_is_not(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["images", "w"], ["a"]),
        helper.make_node("MatMul", ["a", "a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["logits"]),
    ]
    path = write_graph(tmp_path / "m.onnx", nodes, {"w": (8, 8)}, (4, 8, 8))
    # 4 x 8 rows of 8 values, times 8x8.
    assert (recount(path).macs, recount(path).params) == (4 * 8 * 8 * 8, 64)


def test_scales_are_learned_values_and_constants_of_a_formula_are_not(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mul", ["images", "scale"], ["a"]),
        helper.make_node("Mul", ["a", "sixth"], ["b"]),
        helper.make_node("Add", ["b", "scale"], ["c"]),  # read twice, stored once
        helper.make_node("Sub", ["c", "mean"], ["d"]),
        helper.make_node("Flatten", ["d"], ["logits"]),
    ]
    constants = {"scale": (4, 1, 1), "sixth": (1,), "mean": (4, 1, 1)}
    path = write_graph(tmp_path / "m.onnx", nodes, constants, (4, 8, 8))
    assert (recount(path).macs, recount(path).params) == (0, 4)


def test_a_learned_value_per_channel_that_is_spread_over_a_map_is_counted(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["images"], ["size"]),
        helper.make_node("Expand", ["bias", "size"], ["a"]),
        helper.make_node("Expand", ["zero", "size"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Flatten", ["c"], ["logits"]),
    ]
    path = write_graph(tmp_path / "m.onnx", nodes, {"bias": (4, 1, 1), "zero": (1,)}, (4, 8, 8))
    assert recount(path).params == 4


def test_running_statistics_are_not_learned_values(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("BatchNormalization", ["images", "scale", "shift", "mean", "var"], ["a"]),
        helper.make_node("Flatten", ["a"], ["logits"]),
    ]
    constants: dict[str, tuple[int, ...]] = dict.fromkeys(("scale", "shift", "mean", "var"), (4,))
    path = write_graph(tmp_path / "m.onnx", nodes, constants, (4, 8, 8))
    assert recount(path).params == 8


def test_a_graph_that_computes_its_shapes_is_counted(tmp_path: Path) -> None:
    class Strided(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, images: Tensor) -> Tensor:
            # On a map in channels-last order torch pools to 1x1 through a strided view.
            maps = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
            logits: Tensor = self.fc(nn.functional.adaptive_avg_pool2d(maps, 1).view(images.size(0), -1))
            return logits

    export_onnx(Strided(), (3, 4, 4), tmp_path / "m.onnx")
    assert recount(tmp_path / "m.onnx").macs == 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "macs", "params", "channels"),
    [
        # torchvision publishes 1.814 and 0.301 GMACs; parameters less one scale per folded channel.
        ("resnet18", 1_814_073_344, 11_689_512, 4_800),
        ("mobilenet_v2", 300_774_272, 3_504_872, 17_056),
    ],
)
def test_published_networks_have_their_published_cost(
    tmp_path: Path, name: str, macs: int, params: int, channels: int
) -> None:
    model = get_model(name)
    randomise(model)
    export_onnx(model, (3, 224, 224), tmp_path / "m.onnx")
    cost = recount(tmp_path / "m.onnx")
    assert (cost.macs, cost.params) == (macs, params - channels)
    assert cost.file_bytes < 4 * cost.params * 1.01


def test_what_is_no_onnx_classifier_is_refused(tmp_path: Path, own_net: OwnNet) -> None:
    (tmp_path / "text.onnx").write_text("hello world " * 50)
    (tmp_path / "empty.onnx").write_bytes(b"")
    torch.save(own_net.state_dict(), tmp_path / "torch.onnx")
    for name in ("text", "empty", "torch", "missing"):
        with pytest.raises(InputError, match="ONNX file must be readable"):
            recount(tmp_path / f"{name}.onnx")


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec", ["cifar_resnet20", "torchvision:mobilenet_v2", "timm:mobilenetv3_small_100", "timm:resnet50d"]
)
def test_the_predicted_size_and_macs_hold_on_the_file_of_the_smallest_policy(spec: str, tmp_path: Path) -> None:
    model = lively(spec)
    traced = trace(model, (3, 32, 32))
    policy = channel_space(traced.graph, default_rule(traced.graph)).smallest
    kept = most_important(traced, policy, scores(model, traced, "l1"))
    export_onnx(slim(model, traced.channel_map, kept), (3, 32, 32), tmp_path / "m.onnx")
    counted, predicted = recount(tmp_path / "m.onnx"), AnalyticCostModel(traced.graph)(policy)
    assert counted.macs == predicted.macs
    assert counted.params <= predicted.params
    # The narrowest layers have the least batch norm to fold away, so here the structure weighs most.
    assert counted.file_bytes <= predicted.size_bytes
