import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from automl.compress.surgery import slim
from automl.core.bits import BitWidths
from automl.core.errors import AutoMLError, PolicyError, TraceError, WeightsError
from automl.core.policy import CompressionPolicy
from automl.costs.model import AnalyticCostModel
from automl.export.policy_file import PolicyFile, write_policy
from automl.pipeline.describing import describe, read_policy_content

TWO_CONVS = "tests.automl.pipeline.test_describing:two_convs"


def two_convs(classes: int = 4) -> nn.Module:
    """3x3 conv 3 -> 8, 1x1 conv 8 -> 6, linear 6 -> classes; no batch norm."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 6, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes)
    )


def fixed_classes() -> nn.Module:
    return two_convs(4)


def written(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_costs_of_a_network_worked_by_hand() -> None:
    found = describe(TWO_CONVS, input_size=5)
    assert found.graph.input_shape == (3, 5, 5)
    assert found.dense.macs == 25 * 9 * 3 * 8 + 25 * 8 * 6 + 6 * 4
    assert found.dense.params == (9 * 3 * 8 + 8) + (8 * 6 + 6) + (6 * 4 + 4)
    assert (found.policy, found.compressed) == (None, None)
    assert found.kept == {"0": 8, "1": 6, "4": 4}
    assert "dense" not in found.to_json()


def test_a_policy_shows_what_it_leaves_beside_the_dense_cost(tmp_path: Path) -> None:
    write_policy(tmp_path / "p.json", PolicyFile(CompressionPolicy({"0": 4})))
    value = describe(TWO_CONVS, input_size=5, policy_file=tmp_path / "p.json").to_json()
    assert value["macs"] == 25 * 9 * 3 * 4 + 25 * 4 * 6 + 6 * 4
    assert value["params"] == (9 * 3 * 4 + 4) + (4 * 6 + 6) + (6 * 4 + 4)
    assert value["dense"]["macs"] == 25 * 9 * 3 * 8 + 25 * 8 * 6 + 6 * 4
    assert [group["kept"] for group in value["groups"]] == [4, 6, 4]
    assert [(layer["inputs"], layer["outputs"]) for layer in value["layers"]] == [(3, 4), (4, 6), (6, 4)]


@pytest.mark.parametrize(
    ("spec", "size"), [("cifar_resnet20", 32), ("timm:mobilenetv3_small_050", 224), (TWO_CONVS, 224)]
)
def test_the_default_size_is_that_of_the_published_tables(spec: str, size: int) -> None:
    assert describe(spec).graph.input_shape == (3, size, size)


def test_our_policy_file_brings_its_size_and_classes_unless_others_are_given(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    write_policy(path, PolicyFile(CompressionPolicy({"0": 4}), TWO_CONVS, (3, 5, 5), 7, {"0": 8, "1": 6}))
    found = describe(TWO_CONVS, policy_file=path)
    assert found.graph.input_shape == (3, 5, 5)
    assert found.kept["4"] == 7
    assert describe(TWO_CONVS, policy_file=path, input_size=6, classes=2).graph.input_shape == (3, 6, 6)


def test_a_policy_of_another_network_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    write_policy(path, PolicyFile(CompressionPolicy({"0": 4}), "cifar_resnet20", full_channels={"0": 8, "1": 60}))
    with pytest.raises(PolicyError, match="made for cifar_resnet20"):
        describe(TWO_CONVS, policy_file=path)


@pytest.mark.parametrize("spec", [TWO_CONVS, "tests.automl.pipeline.test_describing:fixed_classes"])
def test_the_number_of_classes_can_be_set(spec: str) -> None:
    assert describe(spec, input_size=5, classes=9).kept["4"] == 9


def test_weights_must_fit_and_may_bring_their_classes(tmp_path: Path) -> None:
    torch.save(two_convs(classes=5).state_dict(), tmp_path / "w.pth")
    assert describe(TWO_CONVS, input_size=5, weights=str(tmp_path / "w.pth")).kept["4"] == 5
    with pytest.raises(WeightsError, match="fit the network"):
        describe("cifar_resnet20", weights=str(tmp_path / "w.pth"))


def test_a_network_that_does_not_run_at_the_size_points_at_the_option() -> None:
    with pytest.raises(TraceError, match="--input-size"):
        describe("torchvision:vgg11", input_size=8, classes=2)


def test_a_wrong_prediction_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_policy(tmp_path / "p.json", PolicyFile(CompressionPolicy({"0": 4})))
    removes_nothing = partial(slim, kept={})
    monkeypatch.setattr(
        "automl.pipeline.describing.slim", lambda model, channels, kept: removes_nothing(model, channels)
    )
    with pytest.raises(AutoMLError, match="170 parameters that were predicted, but has 306"):
        describe(TWO_CONVS, input_size=5, policy_file=tmp_path / "p.json")


@pytest.mark.parametrize(
    "value", [[3, 8, 6], {"channels": [3, 8, 6]}, {"pruned_channels": [3, 8, 6]}, {"name": "x", "strategy": [3, 8, 6]}]
)
def test_a_list_of_channels_may_be_wrapped(tmp_path: Path, value: Any) -> None:
    assert read_policy_content(written(tmp_path / "p.json", value)) == (3, 8, 6)


def test_weight_shapes_are_known_by_their_names(tmp_path: Path) -> None:
    shapes = {"resnetv1d_conv0_weight": [8, 3, 3, 3], "resnetv1d_dense0_bias": [10]}
    assert read_policy_content(written(tmp_path / "p.json", shapes)) == shapes


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        7,
        [3, 8.5],
        [3, True],
        [3, 0],
        {"channels": [0.5, 0.25]},
        {"resnetv1d_conv0_weight": []},
        {"conv1.weight": [8, 3, 3, 3]},
    ],
)
def test_any_other_form_is_refused_with_the_three_that_work(tmp_path: Path, value: Any) -> None:
    with pytest.raises(PolicyError, match=r"policy\.json.*AMC.*GluonCV"):
        read_policy_content(written(tmp_path / "p.json", value))


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.json").write_bytes(content)
    with pytest.raises(PolicyError, match="readable JSON"):
        read_policy_content(tmp_path / "p.json")


def test_our_own_format_keeps_its_own_refusals(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="no count"):
        read_policy_content(written(tmp_path / "p.json", {"format": "automl-policy/1", "channels": {"0": -4}}))


def test_the_predicted_cost_is_the_cost_models(tmp_path: Path) -> None:
    policy = CompressionPolicy({"0": 2, "1": 3})
    write_policy(tmp_path / "p.json", PolicyFile(policy))
    found = describe(TWO_CONVS, input_size=5, policy_file=tmp_path / "p.json")
    assert found.compressed == AnalyticCostModel(found.graph)(policy)


def test_a_dropped_block_costs_nothing_and_says_what_it_takes_along(tmp_path: Path) -> None:
    write_policy(tmp_path / "p.json", PolicyFile(CompressionPolicy({"layer2.1.conv1": 0})))
    value = describe("cifar_resnet20", policy_file=tmp_path / "p.json").to_json()
    group = next(group for group in value["groups"] if group["name"] == "layer2.1.conv1")
    assert (group["kept"], group["droppable"], group["drops"]) == (0, True, [])
    layers = {layer["name"]: layer for layer in value["layers"]}
    assert (layers["layer2.1.conv1"]["macs"], layers["layer2.1.conv2"]["macs"]) == (0, 0)
    # Two 3x3 convolutions of 32 channels on a 16x16 map, and the batch norm between them.
    assert value["dense"]["macs"] - value["macs"] == 2 * 9 * 32 * 32 * 256
    assert value["dense"]["params"] - value["params"] == 2 * 9 * 32 * 32 + 2 * 32


def test_a_policy_with_bits_is_priced_by_them(tmp_path: Path) -> None:
    eight, four = BitWidths(8, 8), BitWidths(4, 8)
    policy = CompressionPolicy({"0": 4}, {"0": eight, "1": four, "4": eight})
    write_policy(tmp_path / "p.json", PolicyFile(policy))
    value = describe(TWO_CONVS, input_size=5, policy_file=tmp_path / "p.json").to_json()
    assert value["bops"] == 64 * 25 * 9 * 3 * 4 + 32 * 25 * 4 * 6 + 64 * 6 * 4
    assert [(layer["weight_bits"], layer["input_bits"]) for layer in value["layers"]] == [(8, 8), (4, 8), (8, 8)]
    assert value["dense"]["bops"] == 1024 * value["dense"]["macs"]


def test_bits_for_a_layer_that_the_model_does_not_have_are_refused(tmp_path: Path) -> None:
    write_policy(tmp_path / "p.json", PolicyFile(CompressionPolicy({}, {"9": BitWidths(8, 8)})))
    with pytest.raises(PolicyError, match="'9' is not"):
        describe(TWO_CONVS, input_size=5, policy_file=tmp_path / "p.json")


def test_batch_norms_that_bits_fold_away_do_not_confuse_the_count(tmp_path: Path) -> None:
    graph = describe("cifar_resnet20").graph
    policy = CompressionPolicy({"conv1": 8}, {layer.name: BitWidths(8, 8) for layer in graph.layers})
    write_policy(tmp_path / "p.json", PolicyFile(policy))
    value = describe("cifar_resnet20", policy_file=tmp_path / "p.json").to_json()
    assert value["bops"] == 64 * value["macs"]
    assert value["size_bytes"] < 0.3 * value["dense"]["size_bytes"]
