import json
import zipfile
from pathlib import Path

import pytest

from automl.pipeline.subject import open_subject
from automl.runtime.device_profile import FORMAT
from automl.store.config import RunConfig
from tests.automl.cli.conftest import Cli

MODEL = "tests.devices:wide"


def toy_pack() -> None:
    """A pack of two networks in this folder, with nothing in it to run."""
    facts = {
        "arch": "net",
        "graph": "x",
        "input": [1, 8, 8],
        "precision": "fp32",
        "threads": 1,
        "runtime": {"name": "onnxruntime"},
    }
    content = {"format": FORMAT, **facts, "policies": [{"a": 8}, {"a": 4}], "reference": 0}
    with zipfile.ZipFile("pack.zip", "w") as archive:
        archive.writestr("pack.json", json.dumps(content))
    Path("times.csv").write_text("network,ms\n0,2\n1,1\n")


def test_times_of_another_tool_become_a_device_that_is_searched_for(automl: Cli, tmp_path: Path) -> None:
    made = automl("profile", "--model", MODEL, "--limit", "200")
    assert made.code == 0, made.err
    with zipfile.ZipFile("pack.zip") as archive:
        policies = json.loads(archive.read("pack.json"))["policies"]
        assert {f"models/{number}.onnx" for number in range(len(policies))} <= set(archive.namelist())
    times_ms = [0.5 + 0.01 * sum(policy.values()) for policy in policies]
    rows = [f"models/{number}.onnx,{run},{ms * run}" for run in (1, 2) for number, ms in enumerate(times_ms)]
    Path("times.csv").write_text("\n".join(["network,run,ms", *rows]))
    names = ("--device-name", "Pixel [1]", "--tool", "benchmark_model 2.16")
    done = automl("profile", "--times", "times.csv", "--pack", "pack.zip", *names)
    assert (done.code, done.out) == (0, ""), done.err
    assert f"{len(policies)} networks in device.json; the dense float network takes 2.42 ms" in done.err
    assert "automl search --target device.json --budget 0.5latency" in done.err
    subject = open_subject(
        RunConfig(MODEL, "digits", ("0.7latency",), limit=200, device="cpu", target=str(tmp_path / "device.json"))
    )
    assert subject.latency is not None
    assert subject.latency.profile.device == {"name": "Pixel [1]"}
    assert subject.latency.reference_ms == pytest.approx(0.5 + 0.01 * 3 * 64)
    assert subject.dense_cost.latency_ms == pytest.approx(subject.latency.reference_ms, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--times", "times.csv"], "only `--times`"),
        (["--pack", "pack.zip"], "only `--pack`"),
        (["--tool", "TFLite", "--device-name", "Pixel 1"], "only `--device-name`, `--tool`"),
        (["--times", "times.csv", "--pack", "pack.zip", "--threads", "2"], "`--threads`. Leave it out"),
        (["--times", "times.csv", "--pack", "pack.zip", "--out", "device.zip"], "Write device.json"),
        (["--times", "none.csv", "--pack", "pack.zip"], "none.csv"),
        (["--times", "times.csv", "--pack", "times.csv"], "`--pack` must be"),
        (["--times", "pack.zip", "--pack", "pack.zip"], "`--times` must"),
        (["--out", "device.json"], "Write device.zip"),
    ],
)
def test_bad_input_exits_with_2_and_writes_nothing(automl: Cli, arguments: list[str], words: str) -> None:
    toy_pack()
    outcome = automl("profile", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err
    assert {path.name for path in Path().iterdir()} == {"pack.zip", "times.csv"}


def test_the_toy_pack_is_a_pack(automl: Cli) -> None:
    toy_pack()
    assert automl("profile", "--times", "times.csv", "--pack", "pack.zip", "--out", "a/phone.json").code == 0
    assert json.loads(Path("a/phone.json").read_text())["table"] == [{"ms": 2.0}, {"ms": 1.0}]
