import json
from pathlib import Path

import pytest
import torch
from torch import nn

from automl.export.onnx_file import export_onnx
from tests.automl.cli.conftest import Cli


@pytest.fixture(scope="module")
def first_class(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Says the first of ten classes to every image: 3x3 convolution 3 -> 2, linear 2 -> 10."""
    classifier = nn.Linear(2, 10)
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), classifier)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.001)
        classifier.bias.copy_(torch.arange(10, 0, -1))
    path = tmp_path_factory.mktemp("files") / "model.onnx"
    export_onnx(network, (3, 16, 16), path)
    return path


def test_accuracy_and_cost_of_a_file(automl: Cli, first_class: Path) -> None:
    outcome = automl("evaluate", first_class, "--data", "digits", "--limit", "400", "--json")
    value = json.loads(outcome.out)
    keys = ["model", "data", "split", "images", "accuracy", "accuracy_ci95", "macs", "params", "file_bytes"]
    assert list(value) == keys
    # A quarter of 400 images, and a tenth of the digits are zeros, to within an image or two.
    assert (value["split"], value["images"]) == ("test", 100)
    assert value["accuracy"] == pytest.approx(0.1, abs=0.02)
    low, high = value["accuracy_ci95"]
    assert low < value["accuracy"] < high
    # 14x14 positions of 3 * 9 * 2 MACs, then 2 * 10; 54 weights, 2 biases, 20 weights, 10 biases.
    assert (value["macs"], value["params"]) == (14 * 14 * 54 + 20, 86)
    assert value["file_bytes"] == first_class.stat().st_size
    assert "of 100 test images" in outcome.err


@pytest.mark.parametrize(("split", "images"), [("search", 60), ("selection", 40)])
def test_another_split_can_be_named(automl: Cli, first_class: Path, split: str, images: int) -> None:
    # 15% and 10% of 400 images.
    outcome = automl("evaluate", first_class, "--data", "digits", "--limit", "400", "--split", split, "--json")
    assert json.loads(outcome.out)["images"] == images


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--data"),
        (["--data", "digitz"], "Did you mean digits"),
        (["--data", "synthetic:clutter?images=800"], "10 apart"),
        (["--data", "digits", "--split", "train"], "--split"),
    ],
)
def test_bad_input_exits_with_2_and_says_the_way_out(
    automl: Cli, first_class: Path, arguments: list[str], words: str
) -> None:
    outcome = automl("evaluate", first_class, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err


@pytest.mark.parametrize("content", [None, b"", b"no network"])
def test_a_missing_or_damaged_file_exits_with_2(automl: Cli, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "m.onnx").write_bytes(content)
    outcome = automl("evaluate", "m.onnx", "--data", "digits")
    assert (outcome.code, outcome.out) == (2, "")
    assert "m.onnx" in outcome.err
