import itertools

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from benchmarks.latency import Quality
from benchmarks.operators import layers_alone


def test_quality_by_hand() -> None:
    quality = Quality.of(np.array([1.1, 1.8, 3.0]), np.array([1.0, 2.0, 3.0]))
    assert quality.error == pytest.approx((0.1 + 0.1 + 0.0) / 3)
    assert quality.worst == pytest.approx(0.1)
    assert quality.bias == pytest.approx(0.0)
    assert quality.rank == pytest.approx(1.0)


def chain(widths: list[int]) -> onnx.ModelProto:
    """1x1 convolutions with rectifiers between them, on 4 x 4."""
    tensors, nodes, name = [], [], "x"
    for place, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        tensors.append(numpy_helper.from_array(np.ones((outputs, inputs, 1, 1), np.float32), f"w{place}"))
        nodes.append(helper.make_node("Conv", [name, f"w{place}"], [f"c{place}"]))
        nodes.append(helper.make_node("Relu", [f"c{place}"], [f"r{place}"]))
        name = f"r{place}"
    ends = [helper.make_tensor_value_info(n, 1, ["n", c, 4, 4]) for n, c in (("x", widths[0]), (name, widths[-1]))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_layers_alone_are_summed_and_equal_ones_are_timed_once() -> None:
    asked: list[onnx.ModelProto] = []

    def timed(networks: object) -> NDArray[np.float64]:
        assert isinstance(networks, list)
        asked.extend(networks)
        # The whole network takes 10 ms; a layer one for each of its output channels.
        return np.array([10.0] + [float(each.graph.initializer[0].dims[0]) for each in networks[1:]])

    found = layers_alone([chain([3, 8, 8, 8]), chain([3, 4, 4, 4]), chain([3, 2, 4, 4])], timed)
    np.testing.assert_allclose(found, [(4 + 4 + 4) / 10, (2 + 4 + 4) / 10])
    assert [[node.op_type for node in each.graph.node] for each in asked[1:]] == [["Conv"]] * 4
