"""Bad input gets exit 2, one message with the way out, and nothing is written."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from automl.models.registry import build
from automl.runtime import measuring
from tests.command_line import Ended, automl

Search = Callable[..., Ended]


@pytest.fixture
def search(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Search:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, budget: str = "0.25flops") -> Ended:
        return automl(capsys, monkeypatch, "search", "--budget", budget, *arguments)

    return run


def refused(ended: Ended, *words: str) -> None:
    assert ended.code == 2, ended.err
    assert ended.err.count("error: ") == 1
    assert "Traceback" not in ended.err
    assert ended.out == ""
    for word in words:
        assert word in ended.err
    assert not list(Path.cwd().glob("runs/*/"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "timm:mobilnetv2_100"), ("mobilenetv2_100",)),
        (("--model", "torchvision:resnet81"), ("resnet",)),
        (("--model", "mobilenet_v2"), ("torchvision:mobilenet_v2",)),
        (("--model", "no_such_module:make"), ("no_such_module",)),
        (("--data", "digit"), ("digits",)),
        (("--data", "synthetic:cluter"), ("synthetic:clutter",)),
        (("--data", "torchvision:CIFAR11"), ("CIFAR10",)),
        (("--data", "torchvision:CIFAR10?root=nowhere"), ("nowhere",)),
        (("--data", "imagefolder:nowhere"), ("nowhere",)),
        (("--engine", "tpee"), ("tpe",)),
        (("--engine", "ddpg", "--agent", "reward=fame"), ("reward", "fame", "kl, accuracy")),
        (("--engine", "cma", "--agent", "noise=0.3"), ("--agent", "ddpg, td3, sac", "cma")),
        (("--importance", "l7"), ("l1, l2, taylor, bn, obs, random",)),
        (("--trials", "0"), ("at least 1",)),
        (("--time", "soon"), ("30m",)),
        (("--device", "tpu"), ("auto, cpu or cuda",)),
        (("--weights", "nowhere.pth"), ("nowhere.pth", "pretrained")),
        (("--channel-multiple", "0"), ("--divisor",)),
        (("--min-keep", "2"), ("--min-keep",)),
        (("--bits", "16"), ("weights got 16", "2 to 8")),
        (("--bits", "2,8"), ("activations got 2", "w2-8a8")),
        (("--bits", "int8"), ("lists of bit-widths",)),
        (("--bits", "8", "--first-last-bits", "3"), ("--first-last-bits",)),
        (("--input-size", "2"), ("8 px",)),
        (("--precision", "int4"), ("fp32 or int8",)),
        (("--precision", "fp32", "--bits", "8"), ("--bits 8",)),
        (("--threads", "0"), ("--threads",)),
        (("--runtime", "ort"), ("--runtime", "onnxruntime, openvino", "'ort'")),
        (("--config", "nowhere.toml"), ("nowhere.toml",)),
        (("--name", "../escape"), ("--name", "no path")),
        (("--name", ".hidden"), ("--name",)),
    ],
)
def test_an_unknown_name_or_a_value_out_of_range(
    search: Search, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(search(*arguments), *words)


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ("0flops", ("above 0",)),
        ("-1flops", ("above 0",)),
        ("1.5flops", ("above the dense cost",)),
        ("900Mflops", ("above the dense cost",)),
        ("quarter", ("0.25flops",)),
        ("0.25flop5", ("unit", "0.25flops")),
        ("0.001flops", ("reachable", "nearest reachable budget is")),
        ("0.25flops,1kB", ("reachable",)),
        ("0.0001bops", ("bops", "nearest reachable budget is")),
    ],
)
def test_a_budget_that_cannot_be(search: Search, budget: str, words: tuple[str, ...]) -> None:
    refused(search(budget=budget), *words)


@pytest.mark.parametrize(("budget", "arguments"), [("0.5latency", ()), ("0.5flops", ("--precision", "int8"))])
def test_a_runtime_that_is_not_installed(
    search: Search, monkeypatch: pytest.MonkeyPatch, budget: str, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr(measuring, "find_spec", lambda name: None)
    refused(search("--runtime", "openvino", *arguments, budget=budget), 'pip install "automl-compress[openvino]"')


def test_no_budget_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused(automl(capsys, monkeypatch, "search"), "--budget 0.25flops")


def folder(root: Path, **images: int) -> Path:
    for name, count in images.items():
        (root / name).mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (20, 20), (index % 256, 90, len(name))).save(root / name / f"{index}.png")
    return root


def test_a_folder_without_images(search: Search, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(search("--data", f"imagefolder:{tmp_path / 'empty'}"), "empty")


def test_a_folder_with_one_class(search: Search, tmp_path: Path) -> None:
    refused(search("--data", f"imagefolder:{folder(tmp_path / 'one', cat=40)}"), "'cat'")


def test_more_than_one_corrupt_image_in_a_hundred(search: Search, tmp_path: Path) -> None:
    images = folder(tmp_path / "images", cat=40, dog=40)
    (images / "cat" / "bad.png").write_bytes(b"\x89PNG nothing")
    refused(search("--data", f"imagefolder:{images}", "--input-size", "20"), "1%", "bad.png")


def test_images_without_labels_and_without_weights(search: Search, tmp_path: Path) -> None:
    images = folder(tmp_path / "images", photos=40) / "photos"
    refused(search("--data", f"imagefolder:{images}", "--input-size", "20"), "--weights")


def test_weights_that_are_no_weights(search: Search, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"not a zip")
    refused(search("--weights", "w.pth"), "w.pth")


def test_weights_of_another_network_name_their_keys(search: Search, tmp_path: Path) -> None:
    torch.save(build("cifar_resnet32").state_dict(), tmp_path / "w.pth")
    refused(search("--weights", "w.pth"), "unexpected", "layer1.3.conv1.weight")


def test_pretrained_weights_offline_or_unpublished(search: Search) -> None:
    refused(search("--weights", "pretrained"), "--weights FILE")


def test_a_network_that_does_not_trace(search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "branching_net.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv = torch.nn.Conv2d(1, 8, 3)\n"
        "        self.fc = torch.nn.Linear(8, 10)\n"
        "    def forward(self, x):\n"
        "        x = self.conv(x)\n"
        "        if x.mean() > 0:\n"
        "            x = -x\n"
        "        return self.fc(x.mean((2, 3)))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    refused(search("--model", "branching_net:Net"), "must not depend on the values")


def test_a_run_name_that_exists(search: Search, tmp_path: Path) -> None:
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    ended = search("--name", "mine")
    assert ended.code == 2
    assert "automl resume mine" in ended.err


def test_a_runs_folder_that_cannot_be_made(search: Search, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = search("--runs", str(tmp_path / "file" / "runs"))
    assert ended.code == 2
    assert "writable" in ended.err


@pytest.mark.parametrize("command", ["resume", "status", "show", "export", "finetune"])
def test_a_run_that_does_not_exist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = automl(capsys, monkeypatch, command, "nowhere")
    assert ended.code == 2
    assert "nowhere" in ended.err


def test_a_size_that_no_bits_reach_is_refused_with_the_nearest_one(search: Search) -> None:
    ended = search("--bits", "4,8", budget="0.005size")
    refused(ended, "0.005size", "nearest reachable budget is 0.0")
