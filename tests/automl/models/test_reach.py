import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from huggingface_hub import constants

from automl.core.errors import WeightsError
from automl.models import reach


@pytest.fixture
def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(reach, "answers", lambda *_arguments: False)
    return tmp_path


@pytest.mark.parametrize("spec", ["timm:resnet18", "torchvision:mobilenet_v2"])
def test_weights_that_are_nowhere_are_refused_with_the_way_out(empty_caches: Path, spec: str) -> None:
    with pytest.raises(WeightsError, match="--weights FILE"):
        reach.refuse_unreachable(spec)


def test_a_file_of_that_name_in_either_cache_is_looked_at_later(empty_caches: Path) -> None:
    (empty_caches / "hf" / "models--timm--resnet18.a1_in1k").mkdir(parents=True)
    checkpoints = empty_caches / "torch" / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "mobilenet_v2-7ebf99e0.pth").touch()
    reach.refuse_unreachable("timm:resnet18.a1_in1k")
    reach.refuse_unreachable("torchvision:mobilenet_v2")


def test_networks_without_published_weights_are_left_to_the_loader(empty_caches: Path) -> None:
    reach.refuse_unreachable("cifar_resnet20")
    reach.refuse_unreachable("mypackage.nets:make")


def test_asking_needs_neither_torch_nor_timm() -> None:
    code = "import sys; import automl.models.reach; print(sorted({'torch', 'timm'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_a_listening_port_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert reach.answers("127.0.0.1", server.getsockname()[1], seconds=1.0)


def test_a_name_that_resolves_slowly_does_not_hold_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def connect(*_arguments: object, **_options: object) -> socket.socket:
        released.wait(5)
        raise OSError("too late")

    monkeypatch.setattr(socket, "create_connection", connect)
    begun = time.perf_counter()
    assert not reach.answers("slow.example", 443, seconds=0.05)
    assert time.perf_counter() - begun < 1
    released.set()
