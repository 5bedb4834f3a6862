"""Weights, checkpoints and exported files that hold something else, or half of it."""

import io
import os
import pickle
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load, save

from automl.core.errors import RunError
from automl.store.run import Run
from automl.training.loop import train
from automl.training.portions import LabelledImages
from automl.training.recipe import baseline_recipe
from tests.hostile.conftest import zipped
from tests.hostile.door import Door
from tests.hostile.network import SPEC, tiny


class Evil:
    """Leaves a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("unpickled",)


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def tensors(header: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + bytes(64)


WEIGHTS = tiny().state_dict()
CONTENTS = {
    "nothing": b"",
    "text": b"hello",
    "zeros": bytes(1000),
    "a pickle of code": pickle.dumps(Evil()),
    "a checkpoint of code": saved(Evil()),
    "code among weights": saved({**WEIGHTS, "evil": Evil()}),
    "a whole network": saved({"model": Evil()}),
    "a list": saved([1, 2, 3]),
    "an empty dict": saved({}),
    "texts": saved(dict.fromkeys(WEIGHTS, "x")),
    "tensors of nothing": saved(dict.fromkeys(WEIGHTS, torch.zeros(()))),
    "other names": saved({f"\x1b[2J{name}": value for name, value in WEIGHTS.items()}),
    "numbers for names": saved(dict(enumerate(WEIGHTS.values()))),
    "NaN": saved({name: value * float("nan") for name, value in WEIGHTS.items()}),
    "one infinity": saved({**WEIGHTS, "0.weight": WEIGHTS["0.weight"] / 0}),
    "a zip file": zipped({"data": b"x"}),
    "a zip file of code": zipped({"archive/data.pkl": pickle.dumps(Evil()), "archive/version": b"3"}),
    "a header that never ends": tensors(b"{}", 2**60),
    "a header of nothing": tensors(b""),
    "a header that is a list": tensors(b"[]"),
    "a header nested deeply": tensors(b"[" * 100_000),
    "tensors beyond the file": tensors(b'{"0.weight":{"dtype":"F32","shape":[8,1,3,3],"data_offsets":[0,999999]}}'),
    "a tensor that ends before it begins": tensors(b'{"0.weight":{"dtype":"F32","shape":[1],"data_offsets":[9,1]}}'),
    "a huge tensor": tensors(b'{"0.weight":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,64]}}'),
    "a type that is none": tensors(b'{"0.weight":{"dtype":"PICKLE","shape":[1],"data_offsets":[0,4]}}'),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_what_are_no_weights_is_refused(door: Door, content: bytes, suffix: str) -> None:
    path = door.home / f"weights{suffix}"
    path.write_bytes(content)
    assert "eights" in door.refused("describe", SPEC, "--input-size=16", "--weights", path)


@pytest.mark.parametrize("name", ["nothing", "a pickle of code", "a checkpoint of code", "a header nested deeply"])
def test_a_run_with_another_result_is_not_exported(door: Door, run: Run, name: str) -> None:
    run.weights.write_bytes(CONTENTS[name])
    door.refused("export", "mine", "--model", SPEC, inside=run.path)


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
@pytest.mark.parametrize("name", ["best/model.safetensors", "state/baseline.safetensors"])
def test_half_the_weights_of_a_run_are_refused(door: Door, run: Run, name: str, share: float) -> None:
    content = (run.path / name).read_bytes()
    (run.path / name).write_bytes(content[: int(share * len(content))])
    arguments = ("export", "mine") if name.startswith("best") else ("resume", "mine", "--trials=+1")
    door.refused(*arguments, "--model", SPEC, inside=run.path)


@pytest.mark.parametrize("change", ["other names", "other shapes", "NaN", "an empty file", "other metadata"])
def test_weights_of_another_network_are_refused(door: Door, run: Run, change: str) -> None:
    found = load(run.weights.read_bytes())
    whole = {"model": SPEC, "policy_digest": "0" * 64}
    changes: dict[str, tuple[dict[str, torch.Tensor], dict[str, str]]] = {
        "other names": ({f"x.{name}": value for name, value in found.items()}, whole),
        "other shapes": ({name: value[None].contiguous() for name, value in found.items()}, whole),
        "NaN": ({name: value * float("nan") for name, value in found.items()}, whole),
        "an empty file": ({}, whole),
        "other metadata": (found, {"model": "evil:net"}),
    }
    run.weights.write_bytes(save(*changes[change]))
    door.refused("export", "mine", "--model", SPEC, inside=run.path)


@pytest.mark.parametrize("place", range(8))
def test_weights_with_flipped_bits_are_exported_or_refused(door: Door, run: Run, place: int) -> None:
    content = bytearray(run.weights.read_bytes())
    content[8 + place * 37] ^= 1 << (place % 7)
    run.weights.write_bytes(content)
    door.survived("export", "mine", "--model", SPEC, inside=run.path)


ONNX: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "text": lambda _: b"hello",
    "zeros": lambda _: bytes(1000),
    "a pickle of code": lambda _: pickle.dumps(Evil()),
    "a head": lambda whole: whole[:100],
    "half": lambda whole: whole[: len(whole) // 2],
    "most": lambda whole: whole[:-10],
    "a tail": lambda whole: whole[len(whole) // 2 :],
    "other operators": lambda whole: whole.replace(b"Conv", b"Evil"),
    "another input": lambda whole: whole.replace(b"images", b"imagex", 1),
}


@pytest.mark.parametrize("change", ONNX.values(), ids=ONNX)
def test_what_is_no_network_is_not_evaluated(door: Door, run: Run, change: Callable[[bytes], bytes]) -> None:
    (door.home / "model.onnx").write_bytes(change(run.onnx.read_bytes()))
    assert "ONNX" in door.refused("evaluate", "model.onnx", "--data=digits", "--limit=240")


@pytest.mark.parametrize("path", ["nowhere.onnx", "/", "/dev/null", "x" * 5000, "nowhere\x1b[2J.onnx", "\udce9"])
def test_what_is_no_file_is_not_evaluated(door: Door, path: str) -> None:
    door.refused("evaluate", path, "--data=digits")


def changed_checkpoint(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def apply(content: bytes) -> bytes:
        found = torch.load(io.BytesIO(content), weights_only=True)
        change(found)
        return saved(found)

    return apply


CHECKPOINTS: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "text": lambda _: b"hello",
    "code": lambda _: saved(Evil()),
    "a pickle of code": lambda _: pickle.dumps(Evil()),
    "half": lambda whole: whole[: len(whole) // 2],
    "most": lambda whole: whole[:-100],
    "other bytes": lambda whole: whole[:200] + bytes(200) + whole[400:],
    "a list": lambda _: saved([]),
    "another format": changed_checkpoint(lambda x: x.update(format="automl-training/1")),
    "another network": changed_checkpoint(lambda x: x["identity"].update(fingerprint="x")),
    "no identity": changed_checkpoint(lambda x: x.update(identity=None)),
    "an epoch by half": changed_checkpoint(lambda x: x.update(epoch=0.5)),
    "an epoch before": changed_checkpoint(lambda x: x.update(epoch=0)),
    "an epoch far away": changed_checkpoint(lambda x: x.update(epoch=10**9)),
    "no weights": changed_checkpoint(lambda x: x.update(model={})),
    "texts for weights": changed_checkpoint(lambda x: x.update(model=dict.fromkeys(x["model"], "x"))),
    "weights of other shapes": changed_checkpoint(lambda x: x["model"].update({"0.weight": torch.zeros(3)})),
    "weights that are NaN": changed_checkpoint(lambda x: x["model"]["0.weight"].fill_(float("nan"))),
    "no best weights": changed_checkpoint(lambda x: x["kept"].update(weights=[])),
    "a score that is none": changed_checkpoint(lambda x: x["kept"].update(score={"right": 1})),
    "no optimizer": changed_checkpoint(lambda x: x.update(optimizer={})),
    "a rate that is NaN": changed_checkpoint(lambda x: x["optimizer"]["param_groups"][0].update(lr=float("nan"))),
    "a rate that is a text": changed_checkpoint(lambda x: x["optimizer"]["param_groups"][0].update(lr="x")),
    "momentum of another shape": changed_checkpoint(
        lambda x: next(iter(x["optimizer"]["state"].values())).update(momentum_buffer=torch.zeros(1))
    ),
    "no schedule": changed_checkpoint(lambda x: x.update(schedule=None)),
    "more schedule": changed_checkpoint(lambda x: x["schedule"].update(step="x")),
    "a shorter schedule": changed_checkpoint(lambda x: x["schedule"].update(total_steps=1)),
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The checkpoint of a training."""
    path = tmp_path_factory.mktemp("training") / "training.pt"
    train_on(path)
    return path.read_bytes()


def train_on(path: Path) -> None:
    """Two epochs on a few images, from the checkpoint at `path` where there is one."""
    torch.manual_seed(0)
    images = cast(LabelledImages, [(torch.randn(1, 8, 8), number % 10) for number in range(20)])
    train(
        tiny(),
        train_set=images,
        selection_set=images,
        calibration_set=images,
        recipe=baseline_recipe(20, epochs=2),
        seed=0,
        device=torch.device("cpu"),
        checkpoint=path,
        fingerprint="mine",
    )


@pytest.mark.parametrize("change", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_a_training_does_not_go_on_from_it(door: Door, trained: bytes, change: Callable[[bytes], bytes]) -> None:
    path = door.home / "training.pt"
    path.write_bytes(change(trained))
    with pytest.raises(RunError, match=r"heckpoint|goes on only where it began"):
        train_on(path)
    assert not (door.home / "unpickled").exists()


@pytest.mark.parametrize("content", [b"hello", saved(Evil())])
def test_a_run_does_not_fine_tune_on_from_it(door: Door, run: Run, content: bytes) -> None:
    next(run.state.glob("finetune-*.checkpoint")).write_bytes(content)
    assert "heckpoint" in door.refused("resume", "mine", "--model", SPEC, inside=run.path)


@pytest.mark.parametrize("place", range(8))
def test_a_checkpoint_with_flipped_bits_is_gone_on_from_or_refused(door: Door, trained: bytes, place: int) -> None:
    path, content = door.home / "training.pt", bytearray(trained)
    for number in range(16):
        content[(place * 7919 + number * 104729) % len(content)] ^= 1 << (number % 8)
    path.write_bytes(content)
    with suppress(RunError):
        train_on(path)
