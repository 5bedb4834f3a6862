from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from automl.core.errors import WeightsError
from automl.export.weights_file import WeightsInfo, read_weights, read_weights_info, write_weights
from tests.automl.export.conftest import OwnNet

INFO = WeightsInfo("my.module:factory", "0" * 64)


def test_what_was_written_is_read(tmp_path: Path, own_net: OwnNet) -> None:
    other = OwnNet()
    write_weights(tmp_path / "model.safetensors", own_net, INFO)

    assert read_weights(tmp_path / "model.safetensors", other, policy_digest="0" * 64) == INFO

    for name, tensor in own_net.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)


def test_a_module_used_twice_is_written(tmp_path: Path) -> None:
    shared = nn.Linear(2, 2)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    twin = nn.Linear(2, 2)
    other = nn.Sequential(twin, nn.ReLU(), twin)
    write_weights(tmp_path / "model.safetensors", model, INFO)

    read_weights(tmp_path / "model.safetensors", other)

    assert torch.equal(twin.weight, shared.weight)


def test_weights_in_channels_last_order_are_written(tmp_path: Path) -> None:
    model, other = OwnNet(), OwnNet()
    model.to(memory_format=torch.channels_last)
    write_weights(tmp_path / "model.safetensors", model, INFO)

    read_weights(tmp_path / "model.safetensors", other)

    assert torch.equal(other.conv.weight, model.conv.weight)


def test_weights_of_another_policy_are_refused(tmp_path: Path, own_net: OwnNet) -> None:
    write_weights(tmp_path / "model.safetensors", own_net, INFO)
    with pytest.raises(WeightsError, match="beside the weights"):
        read_weights(tmp_path / "model.safetensors", own_net, policy_digest="1" * 64)


def test_weights_of_another_class_count_are_refused(tmp_path: Path, own_net: OwnNet) -> None:
    write_weights(tmp_path / "model.safetensors", own_net, INFO)
    other = OwnNet()
    other.fc = nn.Linear(8 * 4 * 4, 7)
    with pytest.raises(WeightsError, match="classes"):
        read_weights(tmp_path / "model.safetensors", other)


def test_weights_of_another_width_are_refused(tmp_path: Path, own_net: OwnNet) -> None:
    write_weights(tmp_path / "model.safetensors", own_net, INFO)
    other = OwnNet()
    other.conv, other.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
    with pytest.raises(WeightsError, match=r"conv\.weight"):
        read_weights(tmp_path / "model.safetensors", other)


def test_a_damaged_or_missing_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "damaged.safetensors").write_bytes(b"\x10" * 100)
    for name in ("damaged", "missing"):
        with pytest.raises(WeightsError, match=r"must be a \.safetensors file"):
            read_weights_info(tmp_path / f"{name}.safetensors")


def test_a_file_that_does_not_say_its_policy_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="must say their model"):
        read_weights_info(tmp_path / "model.safetensors")
