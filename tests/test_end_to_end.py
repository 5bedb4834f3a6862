"""The main job as a user runs it, with real kills. Small settings: a few trials and epochs on few images."""

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from automl.export.recount import recount
from automl.models.registry import build
from tests.command_line import Ended, run, start

pytestmark = pytest.mark.slow
SMALL = ("--limit", "500", "--epochs", "3", "--finetune-epochs", "2")
DENSE_MACS = 10_203_776  # CIFAR ResNet-20 with projection shortcuts on one channel of 16 px


def test_the_main_job_leaves_every_file_and_the_second_run_reuses_the_baseline(tmp_path: Path) -> None:
    first = run("search", "--budget", "0.25flops", "--trials", "4", *SMALL, "--json", cwd=tmp_path)
    assert first.code == 0, first.err
    result = json.loads(first.out)
    folder = Path(result["run"])
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    expected = {"config.toml", "manifest.json", "study.db", "trials.csv", "log.txt", "report.html"}
    expected |= {f"best/{name}" for name in ("policy.json", "model.safetensors", "model.onnx", "metrics.json")}
    expected |= {f"plots/{name}.svg" for name in ("history", "tradeoff", "layers")}
    assert expected <= names
    counted = recount(folder / "best" / "model.onnx")
    assert 0.23 * DENSE_MACS <= counted.macs <= 0.25 * DENSE_MACS
    assert result["baseline"]["macs"] == DENSE_MACS
    assert result["finetuned"]["macs"] == counted.macs
    assert result["budgets"][0]["met"]
    second = run("search", "--budget", "0.5flops,0.6size", "--trials", "1", *SMALL, cwd=tmp_path)
    assert second.code == 0, second.err
    assert "reused" in second.err
    check_other_commands(folder, tmp_path)


def check_other_commands(folder: Path, cwd: Path) -> None:
    for arguments in (("status",), ("show", folder.name), ("export", folder.name, "--to", "out")):
        ended = run(*arguments, "--json", cwd=cwd)
        assert ended.code == 0, ended.err
        json.loads(ended.out)
    assert (cwd / "out" / "model.onnx").is_file()
    trial = run("export", folder.name, "--trial", "0", "--json", cwd=cwd)
    assert trial.code == 0, trial.err
    ended = run("evaluate", "out/model.onnx", "--data", "digits", "--limit", "500", "--json", cwd=cwd)
    metrics = json.loads((folder / "best" / "metrics.json").read_text())
    assert json.loads(ended.out)["accuracy"] == pytest.approx(metrics["finetuned"]["accuracy"])
    described = run("describe", "cifar_resnet20", "--policy", str(folder / "best" / "policy.json"), "--json", cwd=cwd)
    assert json.loads(described.out)["params"] == metrics["finetuned"]["params"]


def test_a_joint_search_exports_integers_within_both_budgets(tmp_path: Path) -> None:
    arguments = ("search", "--budget", "0.25flops,0.06size", "--bits", "4,8", "--name", "r", "--trials", "4", *SMALL)
    first = run(*arguments, "--json", cwd=tmp_path)
    assert first.code == 0, first.err
    result = json.loads(first.out)
    folder = Path(result["run"])
    counted = recount(folder / "best" / "model.onnx")
    assert counted.macs <= 0.25 * DENSE_MACS
    assert (folder / "best" / "model.onnx").stat().st_size <= 0.06 * result["baseline"]["size_bytes"]
    assert [(line["metric"], line["met"]) for line in result["budgets"]] == [("flops", True), ("size", True)]
    assert {layer["executed"] for layer in result["layers"]} == {8}
    assert all(layer["simulated"] == (layer["weight"] < 8 or layer["activation"] < 8) for layer in result["layers"])
    quantized, tuned = result["quantized"], result["finetuned"]
    assert quantized["quantization_loss"] == pytest.approx(tuned["accuracy"] - quantized["accuracy"])
    assert quantized["bops"] == counted.bops
    check_quantized_commands(folder, quantized["accuracy"], tmp_path)


def check_quantized_commands(folder: Path, accuracy: float, cwd: Path) -> None:
    shown = run("show", folder.name, cwd=cwd)
    assert "Quantization loss" in shown.out
    assert "Executed" in shown.out
    for target, arguments in (("out", ()), ("trial", ("--trial", "1"))):
        ended = run("export", folder.name, *arguments, "--to", target, cwd=cwd)
        assert ended.code == 0, ended.err
    assert (cwd / "out" / "model.onnx").read_bytes() == (folder / "best" / "model.onnx").read_bytes()
    ended = run("evaluate", "out/model.onnx", "--data", "digits", "--limit", "500", "--json", cwd=cwd)
    assert json.loads(ended.out)["accuracy"] == pytest.approx(accuracy, abs=0.02)  # of 125 images two may tie
    described = run("describe", "cifar_resnet20", "--policy", str(folder / "best" / "policy.json"), "--json", cwd=cwd)
    assert json.loads(described.out)["layers"][0]["weight_bits"] == 8


def test_a_joint_search_that_was_killed_while_it_rounds_goes_on(tmp_path: Path) -> None:
    arguments = ("search", "--budget", "0.02bops", "--bits", "w2-8a8", "--name", "r", "--trials", "3", "--limit", "500")
    process = start(*arguments, "--epochs", "2", "--finetune-epochs", "8", cwd=tmp_path)
    state = tmp_path / "runs" / "r" / "state"
    deadline = time.monotonic() + 240
    while not list(state.glob("quantize-*.checkpoint")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    ended = run("resume", "r", "--json", cwd=tmp_path)
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert result["budgets"][0]["met"]
    assert "Quantize 1/2" not in ended.err  # the epoch of before the kill


def trials_in(folder: Path) -> list[tuple[int, str]]:
    with sqlite3.connect(f"file:{folder / 'study.db'}?mode=ro", uri=True) as connection:
        return list(connection.execute("SELECT number, state FROM trials ORDER BY number"))


def table_of(folder: Path) -> dict[str, dict[str, str]]:
    lines = (folder / "trials.csv").read_text().splitlines()
    return {row["number"]: row for row in csv.DictReader(lines)}


def wait_for_trials(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        if (folder / "study.db").exists():
            try:
                if sum(state == "COMPLETE" for _, state in trials_in(folder)) >= count:
                    return
            except sqlite3.OperationalError:
                pass
        time.sleep(0.05)
    pytest.fail("the search completed no trials")


def test_a_killed_search_loses_no_completed_trial_and_ends_with_the_asked_number(tmp_path: Path) -> None:
    arguments = ("search", "--budget", "0.25flops", "--trials", "30", "--name", "r", *SMALL)
    process = start(*arguments, cwd=tmp_path)
    folder = tmp_path / "runs" / "r"
    wait_for_trials(folder, 5)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = [number for number, state in trials_in(folder) if state == "COMPLETE"]
    table = table_of(folder)
    ended = run("resume", "r", cwd=tmp_path)
    assert ended.code == 0, ended.err
    after = trials_in(folder)
    assert sum(state == "COMPLETE" for _, state in after) == 30
    assert not [state for _, state in after if state == "RUNNING"]
    assert set(before) <= {number for number, state in after if state == "COMPLETE"}
    rows = table_of(folder)
    assert all(rows[number] == row for number, row in table.items() if row["state"] == "complete")


def test_ctrl_c_stops_after_the_running_trial_and_says_how_to_go_on(tmp_path: Path) -> None:
    process = start("search", "--budget", "0.25flops", "--trials", "500", "--name", "r", *SMALL, cwd=tmp_path)
    folder = tmp_path / "runs" / "r"
    wait_for_trials(folder, 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "automl resume r" in err
    assert not [state for _, state in trials_in(folder) if state == "RUNNING"]
    done = sum(state == "COMPLETE" for _, state in trials_in(folder))
    ended = run("resume", "r", "--trials", str(done + 3), cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert sum(state == "COMPLETE" for _, state in trials_in(folder)) == done + 3


USER_NETWORK = """
import torch.nn.functional as F
from torch import nn

class Small(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 32, 3, padding=1)
        self.head = nn.Linear(32 * 8 * 8, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = F.max_pool2d(F.relu(self.second(x)), 2)
        return self.head(x.flatten(1))

def make(classes=3):
    return Small(classes)
"""


def paint(folder: Path, name: str, images: int, hue: int) -> None:
    generator = np.random.default_rng(hue)
    (folder / name).mkdir(parents=True)
    for index in range(images):
        pixels = generator.integers(0, 120, (40, 40, 3), dtype=np.uint8)
        pixels[..., hue] += 100
        Image.fromarray(pixels).save(folder / name / f"{index}.png")


def test_a_users_own_network_and_folder(tmp_path: Path) -> None:
    (tmp_path / "mynet.py").write_text(USER_NETWORK)
    for hue, name in enumerate(("red", "green", "blue")):
        paint(tmp_path / "images", name, 60, hue)
    (tmp_path / "images" / "red" / "broken.png").write_bytes(b"\x89PNG")
    arguments = (
        "--model",
        "mynet:make",
        "--data",
        "imagefolder:images",
        "--input-size",
        "32",
        "--budget",
        "0.3flops,0.5params",
    )
    ended = run(
        "search", *arguments, "--trials", "3", "--epochs", "4", "--finetune-epochs", "2", "--json", cwd=tmp_path
    )
    assert ended.code == 0, ended.err
    assert "1 corrupt image" in ended.err
    result = json.loads(ended.out)
    assert all(line["met"] for line in result["budgets"])
    assert result["finetuned"]["accuracy"] > 0.6  # chance is 0.33


def test_a_users_own_network_at_bit_widths(tmp_path: Path) -> None:
    (tmp_path / "mynet.py").write_text(USER_NETWORK)
    for hue, name in enumerate(("red", "green", "blue")):
        paint(tmp_path / "images", name, 60, hue)
    data = ("--model", "mynet:make", "--data", "imagefolder:images", "--input-size", "32")
    limits = ("--budget", "0.3flops,0.1size", "--bits", "w4a8", "--first-last-bits", "6")
    ended = run(
        "search", *data, *limits, "--trials", "3", "--epochs", "4", "--finetune-epochs", "2", "--json", cwd=tmp_path
    )
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert all(line["met"] for line in result["budgets"])
    assert [(layer["weight"], layer["activation"]) for layer in result["layers"]] == [(6, 6), (4, 8), (6, 6)]
    assert result["quantized"]["accuracy"] > 0.6  # chance is 0.33


def test_images_without_labels_are_judged_by_agreement(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(build("cifar_resnet20", classes=7).state_dict(), tmp_path / "w.pth")
    paint(tmp_path, "photos", 80, 1)
    arguments = ("--data", "imagefolder:photos", "--weights", "w.pth", "--input-size", "16", "--budget", "0.5flops")
    ended: Ended = run("search", *arguments, "--trials", "2", "--finetune-epochs", "1", "--json", cwd=tmp_path)
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert result["accuracy_is"] == "agreement"
    assert result["baseline"]["accuracy"] == 1.0


def test_a_run_whose_data_changed_is_not_resumed(tmp_path: Path) -> None:
    for hue, name in enumerate(("red", "green")):
        paint(tmp_path / "images", name, 40, hue)
    arguments = ("--data", "imagefolder:images", "--input-size", "16", "--budget", "0.5flops", "--name", "r")
    ended = run("search", *arguments, "--trials", "1", "--epochs", "1", "--finetune-epochs", "0", cwd=tmp_path)
    assert ended.code == 0, ended.err
    paint(tmp_path / "images", "blue", 40, 2)
    ended = run("resume", "r", "--trials", "+1", cwd=tmp_path)
    assert ended.code == 2
    assert "data: was" in ended.err
    assert (tmp_path / "runs" / "r" / "best" / "model.onnx").is_file()


def test_a_killed_agent_ends_with_exactly_the_trials_of_an_uninterrupted_one(tmp_path: Path) -> None:
    asked = ("search", "--budget", "0.25flops", "--engine", "ddpg", "--trials", "12", "--limit", "500")
    arguments = (*asked, "--epochs", "2", "--finetune-epochs", "0")
    whole = run(*arguments, "--name", "whole", cwd=tmp_path)
    assert whole.code == 0, whole.err
    process = start(*arguments, "--name", "killed", cwd=tmp_path)
    folder = tmp_path / "runs" / "killed"
    wait_for_trials(folder, 5)
    time.sleep(float(np.random.default_rng().uniform(0.0, 0.5)))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    ended = run("resume", "killed", cwd=tmp_path)
    assert ended.code == 0, ended.err
    rows = [
        [row for row in table_of(each).values() if row["state"] == "complete"]
        for each in (tmp_path / "runs" / "whole", folder)
    ]
    for row in rows[0] + rows[1]:
        del row["number"], row["seconds"], row["worker"]  # a killed trial keeps its number
    assert len(rows[0]) == 12
    assert rows[0] == rows[1]


def test_a_device_is_timed_by_a_pack_and_searched_for(tmp_path: Path) -> None:
    settings = ("--model", "tests.devices:wide", "--limit", "300")
    made = run("profile", "--out", "pack.zip", *settings, cwd=tmp_path)
    assert made.code == 0, made.err
    # As on another machine: without this checkout, in a process that knows numpy and ONNX Runtime alone.
    subprocess.run([sys.executable, "-I", "pack.zip", "device.json"], cwd=tmp_path, check=True, capture_output=True)
    short = ("--trials", "2", "--epochs", "1", "--finetune-epochs", "1", "--name", "a")
    budget = ("--target", "device.json", "--budget", "0.7latency,0.7flops")
    found = run("search", *settings, *budget, *short, "--json", cwd=tmp_path)
    assert found.code == 0, found.err
    result = json.loads(found.out)
    lines = {line["metric"]: line for line in result["budgets"]}
    assert lines["latency"]["met"]
    assert lines["latency"]["predicted"] <= lines["latency"]["asked"]
    assert lines["latency"]["measured"] is None  # nobody can time another device from here
    assert result["best"]["latency_ms"] < result["baseline"]["latency_ms"]
    (tmp_path / "device.json").unlink()  # the run has its own copy
    refused = run("resume", "a", "--trials", "3", cwd=tmp_path)
    assert refused.code == 2
    assert "say so: `--model tests.devices:wide`" in refused.err
    resumed = run("resume", "a", "--trials", "3", "--model", "tests.devices:wide", "--json", cwd=tmp_path)
    assert resumed.code == 0, resumed.err
    assert json.loads(resumed.out)["search"]["trials"] == 3
