import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from automl.core.errors import InputError
from automl.runtime.device_profile import FORMAT, read_profile, write_profile
from automl.runtime.importing import imported
from automl.runtime.pack import Pack, write_pack
from automl.runtime.table_times import TableTimes
from automl.runtime.target import Runtime, Target

TARGET = Target("tests:chain", "digest", (4, 8, 8), "int8", 2)
POLICIES = ({"a": 8}, {"a": 3}, {"a": 8})


def packed(folder: Path, **changed: Any) -> Path:
    """A zip file with a `pack.json` and nothing else."""
    content = {"format": FORMAT, **TARGET.to_json(), "policies": POLICIES, "reference": 2, **changed}
    with zipfile.ZipFile(folder / "pack.zip", "w") as archive:
        archive.writestr("pack.json", json.dumps(content))
    return folder / "pack.zip"


@pytest.fixture
def times(tmp_path: Path) -> Path:
    (tmp_path / "times.csv").write_text("network,ms\n0,4\n1,2\n2,9\n")
    return tmp_path / "times.csv"


def test_times_of_a_pack_become_a_device_profile(tmp_path: Path, times: Path) -> None:
    write_pack(tmp_path / "pack.zip", Pack(TARGET, POLICIES, 2, (1, 1, 1)), [])
    profile = imported(times, tmp_path / "pack.zip", "Pixel 1", "TFLite benchmark_model 2.16")
    assert (profile.target, profile.policies, profile.reference) == (
        replace(TARGET, runtime=Runtime.OTHER),
        POLICIES,
        2,
    )
    assert profile.times == TableTimes((4.0, 2.0, 9.0))
    assert (profile.device["name"], profile.runtime) == ("Pixel 1", "TFLite benchmark_model 2.16")
    write_profile(tmp_path / "device.json", profile)
    assert read_profile(tmp_path / "device.json") == profile


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"format": "automl-device-profile/2"}, "its format is 'automl-device-profile/2'"),
        ({"precision": "int3"}, "not whole .*int3"),
        ({"policies": [[8]]}, "not whole"),
        ({"policies": None}, "not whole"),
        ({"reference": 3}, "not whole"),
    ],
)
def test_a_pack_that_is_not_whole_is_refused(tmp_path: Path, times: Path, changed: Any, words: str) -> None:
    with pytest.raises(InputError, match=f"`--pack` must be .*{words}"):
        imported(times, packed(tmp_path, **changed), "phone", "tool")


@pytest.mark.parametrize("content", [b"", b"network,ms\n", b'{"format": "automl-device-profile/1"}'])
def test_a_file_that_is_no_pack_is_refused(tmp_path: Path, times: Path, content: bytes) -> None:
    (tmp_path / "pack.zip").write_bytes(content)
    with pytest.raises(InputError, match="`--pack` must be a file that `automl profile"):
        imported(times, tmp_path / "pack.zip", "phone", "tool")


def test_a_damaged_pack_and_one_that_is_another_zip_are_refused(tmp_path: Path, times: Path) -> None:
    path = packed(tmp_path)
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF  # inside pack.json
    path.write_bytes(content)
    with pytest.raises(InputError, match="`--pack` must be"):
        imported(times, path, "phone", "tool")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photos/1.jpg", b"")
    with pytest.raises(InputError, match="`--pack` must be"):
        imported(times, path, "phone", "tool")
    with pytest.raises(InputError, match=r"none\.zip"):
        imported(times, tmp_path / "none.zip", "phone", "tool")
