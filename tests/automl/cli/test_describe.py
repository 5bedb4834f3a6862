import json
from pathlib import Path

import pytest

from tests.automl.cli.conftest import Cli

AMC = [3, 24, 48, 96, 80, 192, 200, 328, 352, 368, 360, 328, 400, 736, 752]
GLUONCV = Path(__file__).parents[4] / "shared" / "data" / "r50d_3.6x.json"
KEYS = ["model", "input", "macs", "params", "size_bytes", "bops", "groups", "layers"]
BITS = ["weight_bits", "input_bits"]
KEYS += ["prunable_macs_fraction", "least_macs_fraction", "unfollowed"]


def test_the_json_of_a_dense_network_has_the_documented_keys(automl: Cli) -> None:
    value = json.loads(automl("describe", "cifar_resnet20", "--json").out)
    assert list(value) == KEYS
    assert value["input"] == [3, 32, 32]
    assert list(value["groups"][0]) == [
        "name", "channels", "kept", "prunable", "droppable", "drops", "reason", "producers", "consumers",
    ]  # fmt: skip
    first = value["layers"][0]
    assert list(first) == ["name", "kind", "inputs", "outputs", "kernel", "stride", "out_size", "macs", *BITS]
    # A 3x3 convolution from 3 to 16 channels on a 32x32 map.
    assert first["macs"] == 9 * 3 * 16 * 32 * 32


def test_the_layers_add_up_to_the_macs_and_the_class_logits_are_never_prunable(automl: Cli) -> None:
    value = json.loads(automl("describe", "cifar_resnet20", "--json").out)
    assert sum(layer["macs"] for layer in value["layers"]) == value["macs"]
    assert [group["name"] for group in value["groups"] if not group["prunable"]] == ["fc"]


def test_the_published_amc_list_gives_the_published_counts(automl: Cli, tmp_path: Path) -> None:
    (tmp_path / "amc.json").write_text(json.dumps(AMC))
    value = json.loads(automl("describe", "timm:mobilenetv1_100", "--policy", "amc.json", "--json").out)
    assert (value["params"], round(value["macs"] / 1e6, 2)) == (2_408_232, 293.87)
    assert (value["dense"]["params"], round(value["dense"]["macs"] / 1e6, 2)) == (4_231_976, 568.74)
    assert [group["kept"] for group in value["groups"]] == [*AMC[1:], 1000]
    assert sum(layer["macs"] for layer in value["layers"]) == value["macs"]


def test_the_published_gluoncv_file_gives_the_published_counts(automl: Cli) -> None:
    if not GLUONCV.is_file():
        pytest.skip(f"the published file {GLUONCV.name} is not on this machine")
    value = json.loads(automl("describe", "timm:resnet50d", "--policy", GLUONCV, "--json").out)
    assert (value["params"], round(value["macs"] / 1e6, 2)) == (12_416_200, 972.99)


def test_without_json_the_tables_go_to_stdout_each_row_on_one_line(automl: Cli) -> None:
    outcome = automl("describe", "cifar_resnet20", "--layers")
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0] == "cifar_resnet20 at 3x32x32"
    assert any(line.split() == ["conv1", "16", "of", "16", "4", "5"] for line in lines)
    assert any(line.split() == ["conv1", "conv", "3", ">", "16", "3x3", "32x32", "442.37k"] for line in lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nosuchnet"], "timm:NAME"),
        (["timm:mobilnetv1_100"], "timm:mobilenetv1_100"),
        (["cifar_resnet20", "--policy", "none.json"], "three forms|policy.json of automl"),
        (["cifar_resnet20", "--weights", "none.pth"], "none.pth"),
        (["cifar_resnet20", "--input-size", "0"], "1 px or more"),
        (["cifar_resnet20", "--classes", "0"], "--classes"),
        (["no.such.module:net"], "importable"),
    ],
)
def test_bad_input_exits_with_2_and_says_the_way_out(automl: Cli, arguments: list[str], words: str) -> None:
    outcome = automl("describe", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert any(word in outcome.err for word in words.split("|"))
