import os
import subprocess
import sys

import pytest

from automl.cli.allocator import keep_freed_memory

_FAULTS = """
import resource, sys
import numpy as np
from automl.cli.allocator import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    values = np.ones(25_000_000)  # 200 MB
    del values
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


def faults_of_second_block(setting: str) -> int:
    command = [sys.executable, "-c", _FAULTS, setting]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_a_freed_block_is_used_again_without_new_pages() -> None:
    # Given back and mapped anew, 200 MB are 48,829 pages of 4 KiB, or 96 huge ones.
    assert faults_of_second_block("kept") < 20
    assert faults_of_second_block("given back") > 60


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's huge pages")
def test_torch_is_asked_for_huge_pages_unless_the_user_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())  # a C library without mallopt, as musl is
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE")
    assert not keep_freed_memory()
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "1"
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    keep_freed_memory()
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "0"


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
