from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants

from automl.core.errors import WeightsError
from automl.models import hub, reach


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No host answers; the hosts that were asked."""
    asked: list[str] = []

    def answers(host: str, port: int, seconds: float) -> bool:
        asked.append(f"{host}:{port}")
        return False

    monkeypatch.setattr(reach, "answers", answers)
    monkeypatch.setattr(reach, "getproxies", dict)
    return asked


def test_a_file_in_torchs_cache_needs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silence: list[str]
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    cached = tmp_path / "checkpoints" / "net-12345678.pth"
    cached.parent.mkdir()
    cached.touch()
    assert hub.url_file("https://example.org/models/net-12345678.pth") == cached
    assert silence == []


def test_a_file_in_the_hugging_face_cache_needs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silence: list[str]
) -> None:
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda _repo, _file: str(tmp_path / "w"))
    assert hub.hugging_face_file("timm/net", "model.safetensors") == tmp_path / "w"
    assert silence == []


def test_a_silent_host_ends_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silence: list[str]
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(WeightsError, match=r"example\.org does not answer.*--weights FILE"):
        hub.url_file("https://example.org/net.pth")
    with pytest.raises(WeightsError, match=r"huggingface\.co does not answer"):
        hub.hugging_face_file("timm/no-such-net", "model.safetensors")
    assert silence == ["example.org:443", "huggingface.co:443"]


def test_behind_a_proxy_the_proxy_is_asked(monkeypatch: pytest.MonkeyPatch, silence: list[str]) -> None:
    monkeypatch.setattr(reach, "getproxies", lambda: {"https": "http://proxy.local:3128"})
    with pytest.raises(WeightsError, match=r"proxy\.local does not answer"):
        hub.hugging_face_file("timm/no-such-net", "model.safetensors")
    assert silence == ["proxy.local:3128"]


def test_the_offline_switch_of_the_hub_is_obeyed(monkeypatch: pytest.MonkeyPatch, silence: list[str]) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        hub.hugging_face_file("timm/no-such-net", "model.safetensors")
    assert silence == []


def test_a_download_that_breaks_off_ends_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(*_arguments: object, **_options: object) -> None:
        raise OSError("connection reset")

    monkeypatch.setattr(reach, "answers", lambda *_arguments: True)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", break_off)
    with pytest.raises(WeightsError, match=r"connection reset.*--weights FILE"):
        hub.url_file("https://example.org/net.pth")
