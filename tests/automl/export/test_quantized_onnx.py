import copy
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as functional
from onnx import numpy_helper
from torch import Tensor, nn

from automl.compress.calibration import quantize
from automl.compress.places import find_places
from automl.core.bits import BitWidths
from automl.core.errors import ExportError, InputError
from automl.core.graph import ModelGraph
from automl.core.policy import CompressionPolicy, dense_policy
from automl.costs.model import AnalyticCostModel
from automl.export.executed import executed_bits
from automl.export.onnx_file import export_onnx
from automl.export.quantized_onnx import export_quantized
from automl.export.recount import recount
from automl.export.session import open_session
from automl.export.verify import Parity, check_quantized, parity
from search_spaces.rules import default_rule
from search_spaces.space import channel_space
from tests.automl.export.quantized_nets import held_out, images, quantized, slimmed
from tests.families import lively

SHAPE = (3, 16, 16)
Choice = Callable[[ModelGraph], CompressionPolicy]
W8A8, W4A8, W4A4 = BitWidths(8, 8), BitWidths(4, 8), BitWidths(4, 4)


class Blocks(nn.Module):
    """Residual, depthwise, squeeze-excite and concatenation, as users write them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.wide = nn.Conv2d(8, 16, 1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.squeeze = nn.Conv2d(16, 4, 1)
        self.excite = nn.Conv2d(4, 16, 1)
        self.narrow = nn.Conv2d(16, 8, 1)
        self.fc = nn.Linear(16, 6)

    def forward(self, images: Tensor) -> Tensor:
        stem = functional.max_pool2d(functional.relu(self.stem(images)), 2)
        maps = functional.relu6(self.depthwise(functional.relu6(self.wide(stem))))
        scale = functional.relu(self.squeeze(functional.adaptive_avg_pool2d(maps, 1)))
        maps = maps * functional.hardsigmoid(self.excite(scale))
        maps = torch.cat([stem + self.narrow(maps), stem], dim=1)
        logits: Tensor = self.fc(maps.mean((2, 3)))
        return logits


class Chain(nn.Module):
    """Two convolutions and a linear layer that reads a view."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.fc = nn.Linear(4 * 4 * 4, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = functional.relu(self.second(functional.relu(self.first(images))))
        logits: Tensor = self.fc(maps.view(maps.size(0), -1))
        return logits


def seeded(build: type[nn.Module]) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return build()


def kernels(path: Path, folder: Path) -> Counter[str]:
    open_session(path, optimized=folder / "optimized.onnx")
    return Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)


def constants(path: Path) -> dict[str, onnx.TensorProto]:
    return {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}


def stored_weight(path: Path, layer: str) -> onnx.TensorProto:
    graph = onnx.load(path).graph
    makers = {node.output[0]: node for node in graph.node}
    (node,) = (node for node in graph.node if node.name == layer)
    name = node.input[1]
    while name in makers:
        name = makers[name].input[0]
    return constants(path)[name]


@pytest.mark.parametrize("bits", [W8A8, W4A8, W4A4])
def test_every_layer_addition_product_and_pooling_becomes_an_integer_kernel(tmp_path: Path, bits: BitWidths) -> None:
    network = quantized(seeded(Blocks), SHAPE, lambda name: bits)
    export_quantized(network, SHAPE, tmp_path / "m.onnx")
    counts = kernels(tmp_path / "m.onnx", tmp_path)
    integer = {name: count for name, count in counts.items() if name.startswith(("QLinear", "QGemm"))}
    assert integer == {
        "QLinearConv": 6,
        "QLinearGlobalAveragePool": 2,
        "QLinearMul": 1,
        "QLinearAdd": 1,
        "QLinearConcat": 1,
        "QGemm": 1,
    }
    # The images, and the one function that has no integer kernel.
    assert (counts["QuantizeLinear"], counts["DequantizeLinear"], counts["HardSigmoid"]) == (2, 1, 1)
    assert not {"Conv", "FusedConv", "Gemm", "Add", "Mul", "Cast", "Relu"} & set(counts)
    assert {each.executed for each in executed_bits(tmp_path / "m.onnx").values()} == {8}
    check_quantized(parity(network, tmp_path / "m.onnx", held_out(SHAPE)), unasked)


def test_layers_of_different_bits_are_told_apart_in_the_file(tmp_path: Path) -> None:
    each = {"first": W8A8, "second": BitWidths(3, 5)}
    network = quantized(seeded(Chain), (3, 8, 8), lambda name: each.get(name, BitWidths(4, 6)))
    export_quantized(network, (3, 8, 8), tmp_path / "m.onnx")
    found = executed_bits(tmp_path / "m.onnx")
    assert {name: (own.weight, own.activation, own.stored, own.executed) for name, own in found.items()} == {
        "first": (8, 8, 8, 8),
        "second": (3, 5, 4, 8),
        "fc": (4, 6, 4, 8),
    }
    check_quantized(parity(network, tmp_path / "m.onnx", held_out((3, 8, 8))), unasked)


def test_a_layer_without_bits_stays_float(tmp_path: Path) -> None:
    model = seeded(Chain)
    seen = images(16, (3, 8, 8))
    network = quantize(model.eval(), find_places(model, seen), {"first": W8A8, "fc": W8A8}, seen)
    export_quantized(network, (3, 8, 8), tmp_path / "m.onnx")
    found = executed_bits(tmp_path / "m.onnx")
    assert {name: (own.weight, own.stored) for name, own in found.items()} == {
        "first": (8, 8),
        "second": (32, 32),
        "fc": (8, 8),
    }
    check_quantized(parity(network, tmp_path / "m.onnx", held_out((3, 8, 8))), unasked)


@pytest.mark.parametrize(("bits", "kind"), [(8, onnx.TensorProto.INT8), (4, onnx.TensorProto.INT4)])
def test_the_integers_are_the_weights(tmp_path: Path, bits: int, kind: int) -> None:
    network = quantized(seeded(Chain), (3, 8, 8), lambda name: BitWidths(bits, 8))
    export_quantized(network, (3, 8, 8), tmp_path / "m.onnx")
    for layer, grid in network.weight_grids.items():
        weight = network.network.get_parameter(f"{layer}.weight").detach()
        stored = stored_weight(tmp_path / "m.onnx", layer)
        assert stored.data_type == kind
        integers = torch.from_numpy(numpy_helper.to_array(stored).astype(np.float32))
        scale = grid.scale.reshape(-1, *[1] * (weight.ndim - 1))
        assert torch.equal(integers.int(), grid.integers(weight))
        torch.testing.assert_close(integers * scale, weight, rtol=1e-6, atol=0)


def test_weights_in_4_bits_take_half_a_byte_and_a_newer_opset(tmp_path: Path) -> None:
    opsets = {}
    for bits in (4, 8):
        network = quantized(seeded(Chain), (3, 8, 8), lambda name, bits=bits: BitWidths(bits, 8))  # type: ignore[misc]
        export_quantized(network, (3, 8, 8), tmp_path / f"{bits}.onnx")
        opsets[bits] = onnx.load(tmp_path / f"{bits}.onnx").opset_import[0].version
    assert opsets == {4: 21, 8: 18}
    assert len(stored_weight(tmp_path / "4.onnx", "fc").raw_data) == 64 * 5 // 2
    assert len(stored_weight(tmp_path / "8.onnx", "fc").raw_data) == 64 * 5


def test_a_bias_that_dwarfs_the_weights_fits_into_32_bits(tmp_path: Path) -> None:
    model = seeded(Chain)
    with torch.no_grad():
        model.get_parameter("second.weight")[0] *= 1e-12
        model.get_parameter("second.bias")[0] = 1.0
    network = quantized(model, (3, 8, 8), lambda name: W8A8)
    export_quantized(network, (3, 8, 8), tmp_path / "m.onnx")
    check_quantized(parity(network, tmp_path / "m.onnx", held_out((3, 8, 8))), unasked)


def test_the_network_comes_back_unchanged_and_nothing_lies_beside_the_file(tmp_path: Path) -> None:
    network = quantized(seeded(Chain), (3, 8, 8), lambda name: W8A8)
    network.train()
    network.rounds_weights = True
    before = copy.deepcopy(network.state_dict())
    export_quantized(network, (3, 8, 8), tmp_path / "m.onnx")
    assert network.training
    assert network.rounds_weights
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert list(tmp_path.iterdir()) == [tmp_path / "m.onnx"]


def test_weights_that_have_left_their_grids_are_rounded(tmp_path: Path) -> None:
    network = quantized(seeded(Chain), (3, 8, 8), lambda name: W8A8)
    network.rounds_weights = True
    with torch.no_grad():
        network.network.get_parameter("fc.weight").add_(1e-3)
    export_quantized(network, (3, 8, 8), tmp_path / "m.onnx")
    check_quantized(parity(network, tmp_path / "m.onnx", held_out((3, 8, 8))), unasked)


def test_a_network_that_scales_its_images_reads_them_in_float(tmp_path: Path) -> None:
    class Scaling(Chain):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward((images - 0.5) * 2)

    network = quantized(seeded(Scaling), (3, 8, 8), lambda name: W8A8)
    export_quantized(network, (3, 8, 8), tmp_path / "m.onnx")
    assert {each.executed for each in executed_bits(tmp_path / "m.onnx").values()} == {8}
    check_quantized(parity(network, tmp_path / "m.onnx", held_out((3, 8, 8))), unasked)


def test_a_forward_pass_that_branches_on_values_is_refused_by_its_own_name(tmp_path: Path) -> None:
    class Branching(Chain):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images if images.sum() > 0 else -images)

    network = quantized(seeded(Branching), (3, 8, 8), lambda name: W8A8)
    with pytest.raises(ExportError, match="Branching cannot be exported"):
        export_quantized(network, (3, 8, 8), tmp_path / "m.onnx")


def all_dropped(graph: ModelGraph) -> CompressionPolicy:
    return CompressionPolicy({group.name: 0 for group in graph.groups if group.droppable})


def smallest(graph: ModelGraph) -> CompressionPolicy:
    return channel_space(graph, default_rule(graph)).smallest


def dense(graph: ModelGraph) -> CompressionPolicy:
    return dense_policy(graph)


@pytest.mark.parametrize(("choose", "bits"), [(all_dropped, W4A4), (smallest, W8A8), (dense, W4A4)])
def test_costs_of_a_residual_network_hold_on_its_file(tmp_path: Path, choose: Choice, bits: BitWidths) -> None:
    holds("cifar_resnet20", tmp_path / "m.onnx", choose, bits)


@pytest.mark.slow
@pytest.mark.parametrize(("choose", "bits"), [(smallest, W8A8), (dense, W4A4)])
@pytest.mark.parametrize(
    "spec",
    [
        "torchvision:mobilenet_v2",
        "torchvision:mobilenet_v3_small",
        "torchvision:resnet18",
        "torchvision:densenet121",
        "timm:mobilenetv3_small_100",
        "timm:resnet50d",
    ],
)
def test_costs_of_a_family_hold_on_its_file(tmp_path: Path, spec: str, choose: Choice, bits: BitWidths) -> None:
    holds(spec, tmp_path / "m.onnx", choose, bits)


def holds(spec: str, path: Path, choose: Choice, bits: BitWidths) -> None:
    """Predicted costs against the file of a family, and its kernels."""
    case = slimmed(lively(spec), (3, 32, 32), bits, choose)
    export_quantized(case.network, (3, 32, 32), path)
    counted, predicted = recount(path), AnalyticCostModel(case.graph)(case.policy)
    assert (counted.macs, counted.bops) == (predicted.macs, predicted.bops)
    assert counted.params <= predicted.params
    assert counted.file_bytes <= predicted.size_bytes
    found = executed_bits(path)
    assert set(found) == set(case.network.weight_grids)
    assert {each.executed for each in found.values()} == {8}
    assert np.isfinite(parity(case.network, path, [images(4, (3, 32, 32))]).max_abs_difference)


@pytest.mark.slow
def test_integers_of_8_bits_take_a_quarter_of_the_float_file(tmp_path: Path) -> None:
    model = lively("torchvision:resnet18")
    export_onnx(model, (3, 32, 32), tmp_path / "float.onnx")
    for bits, most in ((8, 0.26), (4, 0.14)):
        case = slimmed(model, (3, 32, 32), BitWidths(bits, 8), dense)
        export_quantized(case.network, (3, 32, 32), tmp_path / "m.onnx")
        size = (tmp_path / "m.onnx").stat().st_size
        assert size <= most * (tmp_path / "float.onnx").stat().st_size
        check_quantized(parity(case.network, tmp_path / "m.onnx", held_out((3, 32, 32))), unasked)


@pytest.mark.parametrize("content", [None, b"", b"hello world " * 50])
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "m.onnx").write_bytes(content)
    for read in (executed_bits, recount):
        with pytest.raises(InputError, match="ONNX file must be readable"):
            read(tmp_path / "m.onnx")


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    network = quantized(seeded(Chain), (3, 8, 8), lambda name: W8A8)
    export_quantized(network, (3, 8, 8), tmp_path / "m.onnx")
    (tmp_path / "cut.onnx").write_bytes((tmp_path / "m.onnx").read_bytes()[:700])
    with pytest.raises(InputError, match="Export it again"):
        executed_bits(tmp_path / "cut.onnx")


def test_the_costs_of_a_small_file_are_those_counted_by_hand(tmp_path: Path) -> None:
    bits = {"first": W8A8, "second": BitWidths(3, 5), "fc": BitWidths(4, 6)}
    network = quantized(seeded(Chain), (3, 8, 8), bits.__getitem__)
    export_quantized(network, (3, 8, 8), tmp_path / "m.onnx")
    cost = recount(tmp_path / "m.onnx")
    first, second, fc = 64 * 4 * 27, 16 * 4 * 36, 64 * 5
    assert cost.macs == first + second + fc
    assert cost.bops == first * 64 + second * 15 + fc * 24
    assert cost.params == 4 * 27 + 4 + 4 * 36 + 4 + 64 * 5 + 5
    assert cost.file_bytes == (tmp_path / "m.onnx").stat().st_size


def unasked() -> Parity:
    """Whether the network is steady, where nobody should ask."""
    raise AssertionError


def apart(mean: float, same_top1: float) -> Parity:
    """Two implementations whose logits differ so much on average, and whose classes agree so often."""
    return Parity(0.5, same_top1, 200, 2, mean)


@pytest.mark.parametrize(
    "result", [apart(0.1, 0.9), apart(0.3, 0.99), Parity(math.nan, 1.0, 200, 0, math.nan)],
    ids=["other classes", "other logits", "not a number"],
)  # fmt: skip
def test_a_file_that_answers_otherwise_is_refused_with_the_figure(result: Parity) -> None:
    with pytest.raises(ExportError, match=f"95.0%.*{result.same_top1:.1%}.*Give more bits"):
        check_quantized(result, lambda: apart(0.2, 0.95))


def test_a_file_may_differ_as_much_as_the_network_from_itself() -> None:
    own = apart(0.2, 0.8)
    assert check_quantized(apart(0.15, 0.85), lambda: own) is own


def test_logits_may_differ_where_classes_agree() -> None:
    assert check_quantized(apart(0.1, 0.996), unasked) is None
