import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from automl.core.errors import DataError
from automl.data.factory import open_factory
from automl.data.source import IMAGENET, Request

_MODULE = """
import numpy as np
import torch
from PIL import Image

class Pictures(list):
    classes = ["left", "right"]

def pictures(count):
    return Pictures([(Image.new("RGB", (12, 10), (index, 0, 0)), index % 2) for index in range(count)])

def with_test():
    return pictures(8), pictures(4)

def without_test():
    return pictures(8), None

def arrays():
    grey = [(np.full((10, 12), index, dtype=np.uint8), index % 3) for index in range(6)]
    return grey, [(np.full((10, 12, 3), 9, dtype=np.uint8), 0)]

def floats():
    return [(torch.full((3, 8, 8), float(index)), torch.tensor(index % 2)) for index in range(4)], None

def unlabelled():
    return [(torch.zeros(1, 8, 8, dtype=torch.uint8), None)] * 4, None

def not_a_pair():
    return pictures(8)

def triples():
    return [(1, 2, 3)], None

def empty():
    return [], None

def unsized():
    return iter([]), None

def strings():
    return [("a.jpg", 0)], None

def bad_label():
    return [(np.zeros((8, 8), dtype=np.uint8), label) for label in (0, 1, -1)], None

def broken_item():
    return [(np.zeros((8, 8), dtype=np.uint8), "cat")], None

def raises():
    raise RuntimeError("no disk")
"""


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Name of a module in the current folder."""
    name = "users_sets_for_test"
    (tmp_path / f"{name}.py").write_text(_MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield name
    sys.modules.pop(name, None)


def test_pictures_take_their_shorter_side_and_class_names(sets: str) -> None:
    source = open_factory(f"{sets}:with_test", Request(None, 3, None, 0))
    assert source.size == 10
    assert source.images[3].shape == (3, 10, 10)
    assert sorted(set(source.images[3][0].flatten().tolist())) == [3]
    assert source.classes == ("left", "right")
    assert source.in_test is not None
    assert source.in_test.tolist() == [False] * 8 + [True] * 4
    assert source.normalisation == IMAGENET


def test_arrays_are_numbered_classes_and_take_the_size_asked_for(sets: str) -> None:
    source = open_factory(f"{sets}:arrays", Request(16, 1, None, 0))
    assert source.images[2].shape == (1, 16, 16)
    assert sorted(set(source.images[2].flatten().tolist())) == [2]
    assert source.classes == ("0", "1", "2")


def test_float_tensors_are_taken_as_they_come(sets: str) -> None:
    source = open_factory(f"{sets}:floats", Request(None, 3, None, 0))
    assert source.images[3].dtype == torch.float32
    assert sorted(set(source.images[3].flatten().tolist())) == [3.0]
    assert (source.normalisation.mean, source.normalisation.std) == ((0.0,) * 3, (1.0,) * 3)
    assert source.labels.tolist() == [0, 1, 0, 1]


def test_a_label_of_none_is_no_label(sets: str) -> None:
    source = open_factory(f"{sets}:unlabelled", Request(None, 3, None, 0))
    assert source.classes == ()
    assert source.in_test is None
    assert source.labels.tolist() == [-1] * 4


def test_the_limit_holds_over_both_parts(sets: str) -> None:
    source = open_factory(f"{sets}:with_test", Request(None, 3, 6, 1))
    assert len(source.images) == len(source.labels) == 6


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("not_a_pair", "returned Pictures instead of a pair"),
        ("triples", "Item 0|reading raised ValueError"),
        ("empty", "empty data set"),
        ("unsized", r"without len\(\) or items"),
        ("strings", "must not be a str"),
        ("bad_label", "Labels must be 0 to 1"),
        ("broken_item", "ValueError: invalid literal"),
        ("raises", "RuntimeError: no disk"),
        ("absent", "has no attribute 'absent'"),
    ],
)
def test_a_factory_that_breaks_the_contract_is_refused(sets: str, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_factory(f"{sets}:{name}", Request(None, 3, None, 0))


def test_a_missing_module_is_named(sets: str) -> None:
    with pytest.raises(DataError, match="No module named 'no_such_module'"):
        open_factory("no_such_module:data", Request(None, 3, None, 0))


def test_a_set_that_does_not_fit_in_memory_is_refused_before_it_is_read(
    sets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automl.data.factory._MOST_BYTES", 1000)
    with pytest.raises(DataError, match=r"12 of 10 px.*--limit"):
        open_factory(f"{sets}:with_test", Request(None, 3, None, 0))
