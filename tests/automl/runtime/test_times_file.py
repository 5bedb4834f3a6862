import re
from pathlib import Path

import pytest

from automl.core.errors import InputError
from automl.runtime.table_times import TableTimes
from automl.runtime.times_file import read_times


def read(folder: Path, text: str | bytes, networks: int = 2) -> TableTimes:
    path = folder / "times.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_times(path, networks)


def test_networks_are_named_by_number_or_file(tmp_path: Path) -> None:
    found = read(tmp_path, "network,ms\nmodels/2.onnx,1.5\n0,3\n1.onnx,2e0\n", 3)
    assert found == TableTimes((3.0, 2.0, 1.5))


def test_the_least_of_the_runs_counts_for_a_network_and_for_a_layer(tmp_path: Path) -> None:
    text = "network,run,layer,ms\n0,1,a,2\n0,1,b,5\n0,2,a,3\n0,2,b,4\n1,1,,9\n1,2,,8\n"
    assert read(tmp_path, text) == TableTimes(({"a": 2.0, "b": 4.0}, 8.0))
    assert read(tmp_path, "ms,network\n9,1\n8,1\n1,0\n") == TableTimes((1.0, 8.0))  # rows may repeat without runs


def test_what_spreadsheets_write_is_read(tmp_path: Path) -> None:
    text = '\ufeffNetwork, MS ,layer,note\r\n0,1.5,"conv, 1",x\r\n\r\n1, 2.5 ,conv 2,\r\n'
    assert read(tmp_path, text) == TableTimes(({"conv, 1": 1.5}, {"conv 2": 2.5}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "columns network and ms"),
        ("network,milliseconds\n0,1\n", "'network,milliseconds'"),
        ("network;ms\n0;1,5\n", "'network;ms'"),
        ("network,ms,ms\n0,1,1\n", "repeats ms"),
        ("network,ms\n0,1,5\n", "line 2 of .* has 3"),
        ("network,ms\n0,1\n1\n", "line 3 of .* has 1"),
        ("network,ms\nfirst,1\n", "'first'.*models/N.onnx"),
        ("network,ms\n-1,1\n", "'-1'"),
        ("network,ms\n0,1\n1,1\n2,1\n", "0 to 1, but .* has network 2 in line 4"),
        ("network,ms\n1,1\n", r"none of 0 \(1 of 2\).*Time models/0.onnx"),
        ("network,ms\n0,0\n1,1\n", "above 0, but line 2 of .* has '0'"),
        ("network,ms\n0,-3\n", "'-3'"),
        ("network,ms\n0,nan\n", "'nan'"),
        ("network,ms\n0,inf\n", "'inf'"),
        ("network,ms\n0,\n", "''"),
        ("network,ms\n0,fast\n", "'fast'"),
        ("network,ms,layer\n0,1,a\n0,1,\n1,1,a\n", "network 0 has both"),
        ("network,ms,layer,run\n0,1,a,1\n0,1,a,1\n1,1,a,1\n", "repeats 'a' of network 0 in line 3"),
        ('network,ms\n0,"1\n', "readable CSV"),
        (b"network,ms\n0,1\xff\n", "CSV file in UTF-8"),
        (b"PK\x03\x04\x00\x00", "columns network and ms"),
    ],
)
def test_a_file_that_is_no_table_of_the_pack_is_refused(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(InputError, match=re.compile(words, re.DOTALL)):
        read(tmp_path, text)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv"):
        read_times(tmp_path / "none.csv", 1)
