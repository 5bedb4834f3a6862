"""Packs and times of another tool that are none."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.conftest import zipped
from tests.hostile.door import Door

FORMAT = "automl-device-profile/1"
PACK: dict[str, Any] = {
    "format": FORMAT,
    "arch": "tiny",
    "graph": "0" * 64,
    "input": [1, 16, 16],
    "precision": "fp32",
    "threads": 1,
    "runtime": {"name": "onnxruntime"},
    "policies": [{"0": 8}, {"0": 4}],
    "reference": 0,
}


def bomb() -> bytes:
    """A megabyte that holds more than any pack."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("pack.json", "w", force_zip64=True) as file,
    ):
        for _ in range(2**28 // 2**22 + 1):
            file.write(bytes(2**22))
    return buffer.getvalue()


PACKS = {
    "nothing": b"",
    "text": b"hello",
    "half a zip file": zipped({"pack.json": json.dumps(PACK).encode() * 9})[:60],
    "no pack.json": zipped({"../../pack.json": b"{}"}),
    "another format": zipped({"pack.json": b'{"format": "x"}'}),
    "a list": zipped({"pack.json": b"[]"}),
    "no JSON": zipped({"pack.json": b"hello"}),
    "deep": zipped({"pack.json": b"[" * 100_000}),
    "not utf-8": zipped({"pack.json": b"\xff"}),
    "no policies": zipped({"pack.json": json.dumps({**PACK, "policies": []}).encode()}),
    "policies of texts": zipped({"pack.json": json.dumps({**PACK, "policies": [{"0": "x"}]}).encode()}),
    "no input": zipped({"pack.json": json.dumps({**PACK, "input": [1]}).encode()}),
    "twice": zipped({"pack.json": b'{"format": 1, "format": 2}'}),
}
TIMES = {
    "nothing": b"",
    "text": b"hello",
    "not utf-8": b"network,ms\n\xff,1",
    "zeros": bytes(100),
    "no number": b"network,ms\n../../x,1\n",
    "a network that is not there": b"network,ms\n7,1\n",
    "a network far away": b"network,ms\n99999999999999999999,1\n",
    "other digits": "network,ms\n\u0660,1\n1,1\n".encode(),
    "no time": b"network,ms\n0,nan\n1,1\n",
    "no time at all": b"network,ms\n0,inf\n1,1\n",
    "less than no time": b"network,ms\n0,-1\n1,1\n",
    "hardly any time": b"network,ms\n0,1e-300\n1,1\n",
    "an eternity": b"network,ms\n0,1e300\n1,1\n",
    "an open quote": b'network,ms\n"0,1\n',
    "a long cell": b"network,ms\n" + b"9" * 200_000 + b",1\n",
    "too few cells": b"network,ms\n0\n",
    "a formula": b"network,ms\n=cmd|' /C calc'!A0,1\n",
    "an escape": b"network,ms\n\x1b[2J,1\n",
}


@pytest.mark.parametrize("content", PACKS.values(), ids=PACKS)
def test_what_is_no_pack_is_refused(door: Door, content: bytes) -> None:
    (door.home / "pack.zip").write_bytes(content)
    (door.home / "times.csv").write_text("network,ms\n0,1\n1,0.5\n")
    door.refused("profile", "--times=times.csv", "--pack=pack.zip", "--out=device.json")


def test_a_small_pack_that_is_large_inside_is_not_read(door: Door) -> None:
    (door.home / "pack.zip").write_bytes(bomb())
    (door.home / "times.csv").write_text("network,ms\n0,1\n1,0.5\n")
    assert "bytes" in door.refused("profile", "--times=times.csv", "--pack=pack.zip", "--out=device.json")


@pytest.mark.parametrize("content", TIMES.values(), ids=TIMES)
def test_what_are_no_times_is_refused(door: Door, content: bytes) -> None:
    (door.home / "pack.zip").write_bytes(zipped({"pack.json": json.dumps(PACK).encode()}))
    (door.home / "times.csv").write_bytes(content)
    door.refused("profile", "--times=times.csv", "--pack=pack.zip", "--out=device.json")


@pytest.mark.parametrize(
    "path", ["/dev/null", "/", "x" * 5000, "nowhere\x1b[2J", "/dev/zero"], ids=lambda x: ascii(x)[:20]
)
@pytest.mark.parametrize("option", ["--times", "--pack"])
def test_what_is_no_file_is_refused(door: Door, option: str, path: str | Path) -> None:
    (door.home / "pack.zip").write_bytes(zipped({"pack.json": json.dumps(PACK).encode()}))
    (door.home / "times.csv").write_text("network,ms\n0,1\n1,0.5\n")
    paths = {"--times": "times.csv", "--pack": "pack.zip", option: path}
    door.refused("profile", *(f"{name}={value}" for name, value in paths.items()), "--out=device.json")
