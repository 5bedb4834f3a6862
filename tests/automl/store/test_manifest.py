import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import automl
from automl.core.errors import RunError
from automl.store.files import write_text
from automl.store.manifest import (
    Fingerprint,
    check_fingerprint,
    difference,
    manifest_text,
    new_manifest,
    package_versions,
    read_manifest,
    this_machine,
)

FINGERPRINT = Fingerprint(model="timm:net", weights="aa11", data="bb22", space="cc33", budget="0.25flops")


def test_a_manifest_survives_the_way_through_its_file(tmp_path: Path) -> None:
    started = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    manifest = new_manifest(FINGERPRINT, seed=3, command=["automl", "search"], started=started)
    write_text(tmp_path / "manifest.json", manifest_text(manifest))
    assert read_manifest(tmp_path / "manifest.json") == manifest
    assert datetime.fromisoformat(manifest.started) == started


def test_versions_and_machine_are_recorded() -> None:
    assert package_versions()["automl"] == automl.__version__
    assert {"torch", "optuna", "numpy"} <= set(package_versions())
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.processor


def test_an_equal_fingerprint_has_no_difference() -> None:
    assert difference(FINGERPRINT, replace(FINGERPRINT)) == []
    check_fingerprint(FINGERPRINT, replace(FINGERPRINT))


def test_a_changed_fingerprint_is_refused_and_the_difference_shown() -> None:
    changed = replace(FINGERPRINT, data="zz99", budget="0.5flops")
    lines = ["data: was bb22, is now zz99", "budget: was 0.25flops, is now 0.5flops"]
    assert difference(FINGERPRINT, changed) == lines
    with pytest.raises(RunError) as raised:
        check_fingerprint(FINGERPRINT, changed)
    assert all(line in str(raised.value) for line in lines)
    assert "timm:net" not in str(raised.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema": 2}', '{"schema": 2, "packages": 3}'])
def test_a_damaged_manifest_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(RunError, match="must be readable"):
        read_manifest(path)


def test_a_manifest_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"schema": 99}))
    with pytest.raises(RunError, match="has 99"):
        read_manifest(path)
