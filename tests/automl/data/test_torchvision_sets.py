import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from automl.core.errors import DataError
from automl.data.source import Request
from automl.data.torchvision_sets import open_torchvision

_REQUEST = Request(None, 3, None, 0)


def _write_idx(path: Path, values: np.ndarray) -> None:
    """The format of the MNIST family: 0, 0, type 8 (byte), dimensions, their sizes, the bytes."""
    header = struct.pack(">BBBB", 0, 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())
    with gzip.open(f"{path}.gz", "wb") as file:
        file.write(path.read_bytes())


def _write_fashion_mnist(root: Path) -> None:
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for part, images in (("train", 20), ("t10k", 10)):
        _write_idx(folder / f"{part}-images-idx3-ubyte", np.full((images, 28, 28), 7))
        _write_idx(folder / f"{part}-labels-idx1-ubyte", np.arange(images) % 10)


def _write_cifar10(root: Path) -> None:
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    names = [f"data_batch_{index}" for index in range(1, 6)] + ["test_batch"]
    for name in names:
        image = np.repeat(np.array([10, 20, 30], dtype=np.uint8), 1024)  # a plane per channel
        content = {"data": np.tile(image, (4, 1)), "labels": [0, 1, 2, 3]}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class{index}" for index in range(10)]}))


def test_fashion_mnist_is_read_with_its_own_test_set(tmp_path: Path) -> None:
    _write_fashion_mnist(tmp_path)
    source = open_torchvision("FashionMNIST", str(tmp_path), _REQUEST)
    assert source.images[0].shape == (3, 28, 28)
    assert sorted(set(source.images[0].flatten().tolist())) == [7]
    assert source.labels.tolist() == [*range(10), *range(10), *range(10)]
    assert source.in_test is not None
    assert source.in_test.tolist() == [False] * 20 + [True] * 10
    assert source.classes[0] == "T-shirt/top"


def test_cifar10_keeps_its_channels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write_cifar10(tmp_path)
    # The real archives are held against their MD5; these are four images per batch.
    monkeypatch.setattr(datasets.CIFAR10, "_check_integrity", lambda _self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_arguments: True)
    source = open_torchvision("CIFAR10", str(tmp_path), _REQUEST)
    assert len(source.images) == 24
    assert [sorted(set(source.images[0][channel].flatten().tolist())) for channel in range(3)] == [[10], [20], [30]]
    assert source.classes[3] == "class3"


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100", "FashionMNIST"])
def test_where_the_files_are_not_there_the_refusal_says_how_to_get_them(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"must lie in .*{name}\('.*download=True"):
        open_torchvision(name, str(tmp_path), _REQUEST)
    assert list(tmp_path.iterdir()) == []


def test_without_imagenets_archives_the_refusal_names_their_place(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"image-net\.org"):
        open_torchvision("ImageNet", str(tmp_path), _REQUEST)


def test_an_unknown_set_is_answered_with_a_near_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Did you mean torchvision:CIFAR10"):
        open_torchvision("cifar10", str(tmp_path), _REQUEST)
