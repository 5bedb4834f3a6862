from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from automl.core.errors import ExportError
from automl.runtime.template import GraphTemplate, Sample
from tests.tiny import tiny_graph


def sample(kept: Mapping[str, int], operators: Sequence[str], rows: int, columns: int = 3) -> Sample:
    nodes = [onnx.helper.make_node(name, ["x", "w"], ["y"]) for name in operators]
    weight = numpy_helper.from_array(np.zeros((rows, columns), np.float32), "w")
    return Sample(kept, onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], [], [weight])))


WHOLE, NARROW = {"a": 16, "b": 32}, {"a": 5, "b": 7}


def test_sizes_follow_their_groups() -> None:
    template = GraphTemplate(tiny_graph(), [sample(WHOLE, ["Gemm"], 16), sample(NARROW, ["Gemm"], 5)])
    (weight,) = template.at({"a": 9, "b": 1}).graph.initializer
    assert list(weight.dims) == [9, 3]


def test_large_weights_are_made_at_load() -> None:
    template = GraphTemplate(tiny_graph(), [sample(each, ["Gemm"], each["a"], 1000) for each in (WHOLE, NARROW)])
    graph = template.at({"a": 9, "b": 1}).graph
    assert [node.op_type for node in graph.node] == ["ConstantOfShape", "Gemm"]
    (shape,) = (numpy_helper.to_array(tensor).tolist() for tensor in graph.initializer)
    assert shape == [9, 1000]
    assert graph.node[0].output[0] == graph.node[1].input[1]


def test_scales_and_biases_stand_in_the_file() -> None:
    # OpenVINO computes a layer in integers only where it reads its scales.
    scales = numpy_helper.from_array(np.ones(1000, np.float32), "w")
    node = onnx.helper.make_node("Mul", ["x", "w"], ["y"])
    proto = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [], [scales]))
    graph = GraphTemplate(tiny_graph(), [Sample(each, proto) for each in (WHOLE, NARROW)]).at(WHOLE).graph
    assert [node.op_type for node in graph.node] == ["Mul"]


def test_samples_of_other_operators_are_refused() -> None:
    with pytest.raises(ExportError, match="same operators at every width"):
        GraphTemplate(tiny_graph(), [sample(WHOLE, ["Gemm"], 16), sample(NARROW, ["MatMul"], 5)])


def test_a_size_that_follows_no_group_is_refused() -> None:
    with pytest.raises(ExportError, match=r"must follow the channel groups, but one is \[16, 6\]"):
        GraphTemplate(tiny_graph(), [sample(WHOLE, ["Gemm"], 16), sample(NARROW, ["Gemm"], 6)])
