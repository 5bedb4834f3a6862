import dataclasses
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from automl import api
from automl.cli.search import search as search_command
from automl.core.errors import InputError, RunError
from automl.store.config import RunConfig
from tests.automl.pipeline.test_problem import CONFIG

RENAMED = {"time": "time_s", "trial_time": "trial_time_s"}


class Asked(Exception):
    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.config = config


def asked(monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> RunConfig:
    """The settings that `search` starts a run with."""

    def stop(config: RunConfig, *_: Any) -> None:
        raise Asked(config)

    monkeypatch.setattr(api, "start_run", stop)
    with pytest.raises(Asked) as found:
        api.search(**arguments)
    return found.value.config


@pytest.mark.slow
def test_a_search_from_python_has_the_run_the_result_and_the_files(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = api.search(
        "0.5flops",
        model=CONFIG.model,
        trials=2,
        epochs=1,
        finetune_epochs=0,
        limit=300,
        name="a",
        runs=tmp_path,
        verbose=False,
    )
    assert capfd.readouterr() == ("", "")
    assert found.run == tmp_path / "a"
    assert (found.metrics.search.trials, found.metrics.budgets[0].met) == (2, True)
    assert set(found.files) == {"onnx", "weights", "policy", "metrics", "report", "trials", "log"}
    kept = found.policy.channels
    # The network of `tiny` has 3x3 convolutions 1 -> 8 and 8 -> 16 with outputs of 7x7 and 3x3, and 16 -> 10 classes.
    first, second = kept["0"], kept["2"]
    assert found.metrics.final.macs == 9 * first * 49 + 9 * first * second * 9 + second * 10
    assert found.metrics.final.macs <= 0.5 * (9 * 8 * 49 + 9 * 8 * 16 * 9 + 160)

    with pytest.raises(InputError, match="imported only where the user names it"):
        api.resume(found.run, more=1)
    again = api.resume(found.run, model=CONFIG.model, more=1)
    assert again.metrics.search.trials == 3
    assert "Asked, at most" in capfd.readouterr().err


def test_every_option_of_the_command_is_an_argument_of_the_same_name() -> None:
    options = {RENAMED.get(name, name) for name in inspect.signature(search_command).parameters}
    assert set(inspect.signature(api.search).parameters) == options - {"json"} | {"verbose"}


def test_every_setting_of_a_run_can_be_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wanted = RunConfig(
        model="timm:resnet18",
        data="synthetic:clutter",
        budget=("0.5flops", "2MB"),
        pareto="params:0.2..0.5",
        weights=str(tmp_path / "w.pth"),
        input_size=64,
        engine="td3",
        agent="noise=0.2",
        trials=12,
        time_s=60.0,
        seed=3,
        device="cpu",
        channel_multiple=16,
        min_keep=0.5,
        epochs=2,
        finetune_epochs=0,
        target=str(tmp_path / "device.json"),
        threads=2,
        runtime="openvino",
        bits="4,8",
        first_last_bits=6,
        tensorboard=True,
        importance="l1",
        storage="sqlite:////tmp/a.db",
        trial_time_s=30.0,
        limit=100,
    )
    defaults = {field.name: field.default for field in dataclasses.fields(RunConfig)}
    values = {name: getattr(wanted, name) for name in defaults}
    assert all(values[name] != default for name, default in defaults.items())
    assert asked(monkeypatch, **values) == wanted


def test_what_is_left_out_has_the_defaults_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, budget="0.5flops") == RunConfig("cifar_resnet20", "digits", ("0.5flops",))


def test_arguments_override_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "search.toml").write_text('budget = ["0.5flops"]\ntrials = 7\nseed = 1\n')
    config = asked(monkeypatch, config=tmp_path / "search.toml", trials=9)
    assert (config.budget, config.trials, config.seed) == (("0.5flops",), 9, 1)


def test_int8_is_a_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, budget="0.5flops", precision="int8").bits == "8"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "needs a budget"),
        ({"budget": "quarter"}, "number and a unit"),
        ({"budget": "0.5flops", "trials": "40"}, "`trials` in this call must be int, but got '40'"),
        ({"budget": ["0.5flops", 2]}, "`budget` in this call must be a list of texts"),
        ({"budget": "0.5flops", "engine": "tp"}, "Did you mean tpe"),
    ],
)
def test_what_the_command_refuses_is_refused_before_anything_is_written(
    arguments: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        api.search(runs=tmp_path / "runs", verbose=False, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_resume_refuses_a_run_that_is_not_there_and_two_counts(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="must exist"):
        api.resume("nowhere", runs=tmp_path, verbose=False)
    with pytest.raises(InputError, match="Give one"):
        api.resume("nowhere", trials=3, more=1)
    with pytest.raises(InputError, match="at least 1"):
        api.resume("nowhere", more=0)


def test_importing_the_package_alone_loads_nothing() -> None:
    code = "import sys, automl; assert not {'torch', 'optuna', 'typer'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
