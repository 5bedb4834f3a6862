"""One command in several processes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from automl.cli.ranks import helpers, run_as_rank
from tests.command_line import ROOT, Ended, run

LAUNCH = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
NET = ("--model", "tests.automl.cli.test_ranks:normed")
DATA = (*NET, "--limit", "300")
EPOCHS = "16"


def normed(classes: int = 10) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, classes),
    )  # fmt: skip


def torchrun(*arguments: str, cwd: Path) -> "subprocess.Popen[str]":
    """`automl` in two processes."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "automl"]
    return subprocess.Popen(
        [sys.executable, *launcher, *arguments],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> Ended:
    """Waits until all processes have ended, as each of them holds the pipes."""
    out, err = process.communicate(timeout=240)
    return Ended(process.returncode, out, err)


def wait_for_an_epoch(process: "subprocess.Popen[str]", folder: Path) -> None:
    deadline = time.monotonic() + 240
    while not list(folder.glob("*.checkpoint")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill_a_helper(launcher: int) -> None:
    children = subprocess.run(["pgrep", "-P", str(launcher)], capture_output=True, text=True, check=True).stdout
    for child in map(int, children.split()):
        if b"\0RANK=1\0" in Path(f"/proc/{child}/environ").read_bytes():
            os.kill(child, signal.SIGKILL)
            return
    pytest.fail("no process helps")


def the_program() -> int:
    return 7


@pytest.mark.parametrize("command", ["status", "export", "worker", "search --help", "--help", "--version"])
def test_other_processes_end_at_once_where_nothing_is_trained(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    for name, value in LAUNCH.items():
        monkeypatch.setenv(name, value)
    assert run_as_rank(["automl", *command.split()], the_program) == 0
    monkeypatch.setenv("RANK", "0")
    assert run_as_rank(["automl", *command.split()], the_program) == 7


@pytest.mark.parametrize(
    "odd", [{"RANK": ""}, {"RANK": "one"}, {"RANK": "2"}, {"MASTER_PORT": ""}, {"RANK": "0", "WORLD_SIZE": "1"}]
)
def test_what_other_launchers_set_makes_no_other_processes(
    monkeypatch: pytest.MonkeyPatch, odd: dict[str, str]
) -> None:
    for name, value in {**LAUNCH, **odd}.items():
        monkeypatch.setenv(name, value)
    assert run_as_rank(["automl", "search"], the_program) == 7
    assert helpers() is None


@pytest.mark.slow
def test_a_refusal_is_said_once_and_ends_all_processes(tmp_path: Path) -> None:
    refused = ended(torchrun("finetune", "nowhere", cwd=tmp_path))
    assert refused.code == 1  # of `torchrun`, which says that of the first process
    assert "exitcode  : 2" in refused.err
    assert refused.err.count("error: ") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_where_a_process_is_killed_the_first_one_says_so(tmp_path: Path) -> None:
    training = torchrun("train", *DATA, "--epochs", "2000", cwd=tmp_path)
    wait_for_an_epoch(training, tmp_path / "runs" / ".cache")
    kill_a_helper(training.pid)
    lost = ended(training)
    assert lost.code == 1
    assert "exitcode  : 1" in lost.err
    assert lost.err.count("needs all of them, but one has ended") == 1


@pytest.mark.slow
def test_a_finetuning_in_two_processes_outlives_ctrl_c_and_ends_as_in_one(tmp_path: Path) -> None:
    asked = ("--budget", "0.5flops", "--bits", "8", "--trials", "1", "--epochs", "2", "--finetune-epochs", EPOCHS)
    searched = run("search", *DATA, *asked, "--name", "alone", cwd=tmp_path)
    assert searched.code == 0, searched.err
    alone, shared = tmp_path / "runs" / "alone", tmp_path / "runs" / "shared"
    shutil.copytree(alone, shared, ignore=shutil.ignore_patterns("best", "*.checkpoint"))

    begun = torchrun("finetune", "shared", *NET, "--epochs", EPOCHS, cwd=tmp_path)
    wait_for_an_epoch(begun, shared / "state")
    begun.send_signal(signal.SIGINT)
    stopped = ended(begun)
    assert stopped.code != 0
    assert stopped.err.count("Go on    automl resume shared --model") == 1

    resumed = ended(torchrun("resume", "shared", *NET, cwd=tmp_path))
    assert resumed.code == 0, resumed.err
    assert resumed.err.count(f"Fine-tune {EPOCHS}/{EPOCHS}") == 1
    assert_close(float_weights(shared), float_weights(alone), 2e-3)
    # Where sums differ, a weight may be rounded to the next of its 127 levels, and others make up for it.
    final = Path("best", "model.safetensors")
    assert_close(load_file(shared / final), load_file(alone / final), 2 / 127)


def float_weights(run: Path) -> dict[str, Tensor]:
    (checkpoint,) = (run / "state").glob("finetune-*.checkpoint")
    weights: dict[str, Tensor] = torch.load(checkpoint, weights_only=True)["kept"]["weights"]
    return weights


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], share: float) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        scale = float(tensor.abs().max()) or 1.0
        assert float((found[name] - tensor).abs().max()) <= share * scale, name
