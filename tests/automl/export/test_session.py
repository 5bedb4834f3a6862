from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import Tensor
from torch.utils.data import Dataset

from automl.core.errors import DataError, InputError
from automl.export.session import OnnxClassifier, score
from tests.automl.export.conftest import OwnNet


class Listed(Dataset[tuple[Tensor, int]]):
    """Random images with the given labels."""

    def __init__(self, labels: list[int], shape: tuple[int, ...] = (3, 8, 8)) -> None:
        self.images = torch.randn(len(labels), *shape, generator=torch.Generator().manual_seed(0))
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], self.labels[index]


def flatten_file(path: Path, shape: list[int | str], *, elements: int = onnx.TensorProto.FLOAT) -> Path:
    """A graph that flattens its input of `shape`."""
    source = helper.make_tensor_value_info("x", elements, shape)
    target = helper.make_tensor_value_info("y", elements, [None, None])
    node = helper.make_node("Flatten", ["x"], ["y"])
    graph = helper.make_graph([node], "net", [source], [target])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def test_the_file_says_its_input_shape_and_classes(own_file: Path) -> None:
    classifier = OnnxClassifier(own_file)
    assert classifier.input_shape == (3, 8, 8)
    assert classifier.classes == 5


def test_the_logits_are_those_of_torch(own_net: OwnNet, own_file: Path) -> None:
    images = Listed([0, 1, 2]).images
    with torch.no_grad():
        expected = own_net.eval()(images).numpy()
    np.testing.assert_allclose(OnnxClassifier(own_file).logits(images), expected, atol=1e-5)


def test_a_file_for_one_image_at_a_time_takes_batches(tmp_path: Path) -> None:
    classifier = OnnxClassifier(flatten_file(tmp_path / "m.onnx", [1, 1, 2, 2]))
    images = torch.arange(12.0).reshape(3, 1, 2, 2)
    assert classifier.logits(images).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_images_of_another_size_are_refused_with_the_size_to_give(own_file: Path) -> None:
    with pytest.raises(InputError, match="--input-size 8"):
        OnnxClassifier(own_file).logits(torch.zeros(1, 3, 16, 16))


@pytest.mark.parametrize(
    ("shape", "elements", "complaint"),
    [
        (["n", 3], onnx.TensorProto.FLOAT, "must read one float32 tensor"),
        (["n", 3, 8, 8], onnx.TensorProto.UINT8, "must read one float32 tensor"),
        (["n", 3, "h", "w"], onnx.TensorProto.FLOAT, "fixed C, H and W"),
        ([4, 3, 8, 8], onnx.TensorProto.FLOAT, "batch that is free or 1"),
    ],
)
def test_a_model_of_another_form_is_refused(
    tmp_path: Path, shape: list[int | str], elements: int, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        OnnxClassifier(flatten_file(tmp_path / "m.onnx", shape, elements=elements))


def test_a_model_without_logits_is_refused(tmp_path: Path) -> None:
    path = flatten_file(tmp_path / "m.onnx", ["n", 3, 8, 8])
    model = onnx.load(path)
    model.graph.node[0].op_type = "Relu"
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    for size in ("n", "c", "h", "w"):
        model.graph.output[0].type.tensor_type.shape.dim.add().dim_param = size
    onnx.save(model, path)
    with pytest.raises(InputError, match=r"\[1, 3, 8, 8\]"):
        OnnxClassifier(path)


@pytest.mark.parametrize("content", [b"", b"hello world " * 50])
def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match="readable by ONNX Runtime"):
        OnnxClassifier(path)


def test_a_cut_or_missing_file_is_refused(tmp_path: Path, own_file: Path) -> None:
    (tmp_path / "cut.onnx").write_bytes(own_file.read_bytes()[:1_000])
    for name in ("cut", "missing"):
        with pytest.raises(InputError, match="readable by ONNX Runtime"):
            OnnxClassifier(tmp_path / f"{name}.onnx")


def test_the_score_counts_right_answers(own_net: OwnNet, own_file: Path) -> None:
    images = Listed([0] * 70).images
    with torch.no_grad():
        answers = own_net.eval()(images).argmax(1)
    # Wrong labels for the first seven images.
    labels = [int((answer + 1) % 5) if index < 7 else int(answer) for index, answer in enumerate(answers)]
    result = score(OnnxClassifier(own_file), Listed(labels))
    assert (result.right, result.images) == (63, 70)
    assert result.accuracy == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("labels", "complaint"), [([0, -1], "needs labels"), ([0, 5], "among the classifier's 5"), ([], "at least one")]
)
def test_labels_that_cannot_be_scored_are_refused(own_file: Path, labels: list[int], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        score(OnnxClassifier(own_file), Listed(labels))
