"""Code that a run, a study or a policy names is not imported."""

import json
from pathlib import Path

import pytest

from automl.store.run import Run
from tests.hostile.conftest import edited
from tests.hostile.door import Door
from tests.hostile.network import SPEC


@pytest.mark.parametrize("setting", ["model", "data"])
@pytest.mark.parametrize("command", ["resume", "finetune", "export", "show", "status"])
def test_code_that_only_a_run_names_is_not_imported(
    door: Door, run: Run, coded: Path, command: str, setting: str
) -> None:
    lines = run.config.read_text().splitlines()
    run.config.write_text("\n".join(f'{setting} = "evil:net"' if line.startswith(setting) else line for line in lines))
    named = ["--model", SPEC] if setting == "data" and command in ("resume", "finetune", "export") else []
    if command in ("show", "status"):
        door.survived(command, "mine", inside=run.path)
    else:
        assert f"--{setting} evil:net" in door.refused(command, "mine", *named, inside=run.path)
    assert not coded.exists()


@pytest.mark.parametrize("command", ["resume", "finetune", "export"])
def test_a_run_of_the_users_own_code_asks_for_its_name(door: Door, run: Run, command: str) -> None:
    assert f"say so: `--model {SPEC}`" in door.refused(command, "mine", inside=run.path)


@pytest.mark.parametrize("given", [["--model", "cifar_resnet20"], ["--model", SPEC, "--data", "synthetic:clutter"]])
def test_a_run_keeps_its_own_model_and_data(door: Door, run: Run, given: list[str]) -> None:
    door.refused("resume", "mine", *given, inside=run.path)


def test_code_that_a_policy_names_is_not_imported(door: Door, run: Run, coded: Path) -> None:
    edited(run.policy, model="evil:net")
    door.survived("show", run.policy)
    door.survived("describe", SPEC, "--policy", run.policy)
    door.survived("show", "mine", inside=run.path)
    assert not coded.exists()


def test_code_that_weights_name_is_not_imported(door: Door, run: Run, coded: Path) -> None:
    content = run.weights.read_bytes()
    run.weights.write_bytes(content.replace(SPEC.encode(), b"evil:net".ljust(len(SPEC))))
    assert run.weights.read_bytes() != content
    door.survived("export", "mine", "--model", SPEC, inside=run.path)
    assert not coded.exists()


def test_code_that_a_manifest_names_is_not_imported(door: Door, run: Run, coded: Path) -> None:
    fingerprint = json.loads(run.manifest.read_text())["fingerprint"]
    edited(run.manifest, fingerprint={**fingerprint, "model": "evil:net"}, command=["evil:net"])
    assert "model: was evil:net" in door.refused("resume", "mine", "--model", SPEC, inside=run.path)
    assert not coded.exists()
