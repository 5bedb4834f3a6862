from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from automl.core.errors import DataError, InputError
from automl.data.splits import load_splits
from automl.evaluate.interval import wilson95
from automl.export.onnx_file import export_onnx
from automl.pipeline.examining import examine_baseline, examine_file
from automl.pipeline.subject import open_subject
from automl.store.config import RunConfig


def seven_sayer(classes: int = 10) -> nn.Module:
    """Gives every image the class 7."""
    classifier = nn.Linear(2, classes)
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), classifier)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.001)
        classifier.bias[7] = 1.0
    return network


def sevens(labels: tuple[int, ...]) -> int:
    return sum(label == 7 for label in labels)


def test_the_baseline_is_counted_right_on_both_splits() -> None:
    spec = "tests.automl.pipeline.test_examining:seven_sayer"
    subject = open_subject(RunConfig(spec, "digits", ("1flops",), limit=400))
    found = examine_baseline(subject)
    for measured, split in ((found.selection, subject.splits.selection), (found.test, subject.splits.test)):
        right = sevens(split.labels)
        assert (measured.accuracy, measured.images) == (right / len(split), len(split))
        assert measured.accuracy_ci95 == wilson95(right, len(split))


def test_a_file_is_counted_right_at_the_size_that_it_reads(tmp_path: Path) -> None:
    export_onnx(seven_sayer(), (3, 12, 12), tmp_path / "m.onnx")
    found = examine_file(tmp_path / "m.onnx", "digits", split="search", seed=3, limit=400)
    labels = load_splits("digits", seed=3, input_size=12, limit=400).search.labels
    assert (found.images, found.accuracy) == (len(labels), sevens(labels) / len(labels))
    assert found.accuracy_ci95 == wilson95(sevens(labels), len(labels))
    # 10x10 positions of 3 * 9 * 2 MACs, then 2 * 10.
    assert found.cost.macs == 100 * 54 + 20


def test_another_number_of_classes_is_refused(tmp_path: Path) -> None:
    export_onnx(seven_sayer(classes=11), (3, 16, 16), tmp_path / "m.onnx")
    with pytest.raises(InputError, match="tells 11 apart and 'digits' has 10"):
        examine_file(tmp_path / "m.onnx", "digits", split="test", seed=0, limit=None)


def test_images_that_are_not_square_are_refused(tmp_path: Path) -> None:
    export_onnx(seven_sayer(), (3, 8, 16), tmp_path / "m.onnx")
    with pytest.raises(InputError, match="8x16"):
        examine_file(tmp_path / "m.onnx", "digits", split="test", seed=0, limit=None)


def test_images_without_labels_are_refused_with_the_way_out(tmp_path: Path) -> None:
    for number in range(24):
        Image.new("RGB", (16, 16), (number, 0, 0)).save(tmp_path / f"{number}.png")
    export_onnx(seven_sayer(), (3, 16, 16), tmp_path / "m.onnx")
    with pytest.raises(DataError, match="folder per class"):
        examine_file(tmp_path / "m.onnx", f"imagefolder:{tmp_path}", split="test", seed=0, limit=None)
