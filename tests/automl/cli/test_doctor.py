import json
from collections import namedtuple
from pathlib import Path

import pytest

from automl.cli import doctor
from automl.cli.doctor import Check
from tests.automl.cli.conftest import Cli

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_onnx", lambda: Check("onnx", "ok", "not tried"))


def test_a_working_installation_passes_every_check(automl: Cli) -> None:
    outcome = automl("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(outcome.out)}
    assert outcome.code == 0
    assert {"python", "packages", "torch", "memory", "gpu", "disk", "runs folder", "onnx"} <= set(checks)
    assert all(check["state"] == "ok" for check in (checks["torch"], checks["runs folder"], checks["onnx"]))
    assert not Path("runs").exists()


def test_a_broken_package_fails_with_the_way_out_and_the_other_checks_still_run(
    automl: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Check:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(doctor, "_onnx", broken)
    outcome = automl("doctor")
    assert outcome.code == 1
    assert any(line.split()[:2] == ["onnx", "failed"] for line in outcome.out.splitlines() if line.strip())
    assert "pip install --upgrade torch torchvision timm" in outcome.out
    assert "Traceback" not in outcome.err


@pytest.mark.usefixtures("quick")
def test_a_runs_folder_that_cannot_be_made_fails(automl: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    outcome = automl("doctor", "--runs", "file/runs", "--json")
    checks = {check["name"]: check for check in json.loads(outcome.out)}
    assert outcome.code == 1
    assert checks["runs folder"]["state"] == "failed"
    assert "--runs" in checks["runs folder"]["way_out"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("free", "state", "code"), [(10**10, "ok", 0), (10**9, "warning", 0), (10**7, "failed", 1)])
def test_little_room_is_a_warning_and_none_a_failure(
    automl: Cli, monkeypatch: pytest.MonkeyPatch, free: int, state: str, code: int
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**11, 10**11 - free, free))
    outcome = automl("doctor", "--json")
    states = {check["name"]: check["state"] for check in json.loads(outcome.out)}
    assert (states["disk"], outcome.code) == (state, code)
