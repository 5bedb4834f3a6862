import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.automl.cli.conftest import Cli

QUICK = ["--limit", "200", "--epochs", "1"]


def test_weights_must_end_in_safetensors_and_nothing_is_trained(automl: Cli) -> None:
    outcome = automl("train", "--out", "net.pth")
    assert outcome.code == 2
    assert "net.safetensors" in outcome.err
    assert not Path("runs").exists()


def test_the_baseline_is_measured_and_its_weights_can_be_searched_from(automl: Cli) -> None:
    outcome = automl("train", *QUICK, "--out", "net.safetensors", "--json")
    assert outcome.code == 0, outcome.err
    value = json.loads(outcome.out)
    assert (value["model"], value["data"], value["seed"]) == ("cifar_resnet20", "digits", 0)
    # 10% and a quarter of 200 images.
    assert (value["selection"]["images"], value["test"]["images"]) == (20, 50)
    low, high = value["test"]["accuracy_ci95"]
    assert low <= value["test"]["accuracy"] <= high
    assert load_file("net.safetensors")["fc.weight"].shape == (10, 64)
    assert "automl search --budget 0.25flops --weights net.safetensors --limit 200" in outcome.err
    # Trained weights are the baseline as they are: the same file gives the same accuracy, without an epoch.
    again = automl("train", "--limit", "200", "--weights", "net.safetensors", "--json")
    assert json.loads(again.out)["test"] == value["test"]
    assert "Weights of" in again.err
    assert "Baseline 1/1" not in again.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--model", "nosuch"], "timm:NAME"), (["--data", "digitz"], "Did you mean"), (["--device", "tpu"], "auto, cpu")],
)
def test_bad_input_exits_with_2_and_says_the_way_out(automl: Cli, arguments: list[str], words: str) -> None:
    outcome = automl("train", *arguments)
    assert outcome.code == 2
    assert words in outcome.err
