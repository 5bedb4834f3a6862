"""Options of the command line out of every range."""

import pytest

from tests.hostile.door import Door
from tests.hostile.network import SPEC

LONG, DIGITS = "x" * 5000, "9" * 40
TIMES = (
    "--time=nan",
    "--time=1e9h",
    "--time=\u0663m",
    "--time=-5m",
    "--time=0s",
    "--time=30m\n",
    "--time=5",
    f"--time={'9' * 400}h",
    f"--time={DIGITS}h",
    "--trial-time=0s",
    f"--trial-time={DIGITS}h",
)
COUNTS = (
    "--seed=-1",
    f"--seed={DIGITS}",
    "--seed=18446744073709551616",
    "--seed=1.5",
    "--limit=-1",
    "--limit=0",
    "--limit=3",
    f"--limit=-{DIGITS}",
    "--input-size=1000000",
    f"--input-size={DIGITS}",
    "--input-size=-8",
    "--input-size=0",
    "--trials=-1",
    f"--trials={DIGITS}",
    "--epochs=0",
    f"--epochs={DIGITS}",
    "--finetune-epochs=-1",
    f"--finetune-epochs={DIGITS}",
    "--divisor=-1",
    f"--divisor={DIGITS}",
    "--min-keep=nan",
    "--min-keep=inf",
    "--min-keep=-1",
    "--min-keep=1e308",
    "--threads=-1",
    f"--threads={DIGITS}",
)
BITS = (
    f"--bits={'8,' * 5000}",
    "--bits=\u0668",
    "--bits=2-999999999999",
    "--bits=w8",
    "--bits=8\x1b[31m",
    f"--bits={DIGITS}",
)
NAMES = (
    "--engine=../../x",
    "--engine=__class__",
    "--engine=",
    "--importance=__import__('os')",
    "--device=cuda:99",
    "--device=\x1b[2J",
    "--runtime=other",
    "--runtime=os",
    "--no-such-option\x1b[2J",
)
AGENTS = (
    "reward=kl," * 1000 + "reward=no",
    "noise=nan",
    "noise=inf",
    f"noise={'9' * 5000}",
    f"seeds={DIGITS}",
    f"hidden={DIGITS}",
    "__class__=x",
    "=",
)
MODELS = (
    "",
    ":",
    "timm:",
    "timm:hf-hub:evil/net",
    "timm:local-dir:/etc",
    "torchvision:../../x",
    "os:system",
    "builtins:eval",
    "builtins:exec",
    "os.path:join",
    "sys:exit",
    "a" * 3000,
    "nowhere\x1b[2J:x",
    "tests.hostile.network:SPEC",
    "tests.hostile.network:leaves",
    "tests.hostile.leaving:net",
    "\udce9:x",
    "cifar_resnet20\n",
)
DATA = (
    "",
    ":",
    "imagefolder:",
    f"imagefolder:{LONG}",
    "imagefolder:/dev/null",
    "imagefolder:~nobody_such/x",
    "torchvision:CIFAR10?root=/etc/passwd",
    "torchvision:CIFAR10?download=1",
    "torchvision:VisionDataset?root=.",
    "builtins:eval",
    "sys:exit",
    "os:getcwd",
    SPEC,
    "synthetic:clutter?seed=x",
    "\udce9",
)
FILES = (LONG, "/dev/null", "/", "~nobody_such/x", "nowhere\x1b[2J", "\udce9")


@pytest.mark.parametrize("option", [*TIMES, *COUNTS, *BITS, *NAMES], ids=lambda text: ascii(text)[:40])
def test_a_value_out_of_range_is_refused(door: Door, option: str) -> None:
    door.refused("search", f"--model={SPEC}", "--budget=0.5flops", option)


@pytest.mark.parametrize("settings", AGENTS, ids=lambda text: ascii(text)[:40])
def test_settings_of_an_agent_out_of_range_are_refused(door: Door, settings: str) -> None:
    door.refused("search", f"--model={SPEC}", "--budget=0.5flops", "--engine=ddpg", f"--agent={settings}")


@pytest.mark.parametrize("model", MODELS, ids=lambda text: ascii(text)[:40])
def test_what_is_no_model_is_refused(door: Door, model: str) -> None:
    door.refused("search", f"--model={model}", "--budget=0.5flops")


@pytest.mark.parametrize("data", DATA, ids=lambda text: ascii(text)[:40])
def test_what_is_no_data_set_is_refused(door: Door, data: str) -> None:
    door.refused("search", f"--model={SPEC}", "--budget=0.5flops", f"--data={data}")


@pytest.mark.parametrize("path", FILES, ids=lambda text: ascii(text)[:40])
@pytest.mark.parametrize("option", ["--weights", "--target", "--config"])
def test_what_is_no_file_is_refused(door: Door, option: str, path: str) -> None:
    budget = "0.5latency" if option == "--target" else "0.5flops"
    door.refused("search", f"--model={SPEC}", f"--budget={budget}", f"{option}={path}")


@pytest.mark.parametrize("option", ["--config", "--target"])
def test_a_device_that_never_ends_is_not_read(door: Door, option: str) -> None:
    assert "no plain file" in door.refused("search", f"--model={SPEC}", "--budget=0.5latency", f"{option}=/dev/zero")


@pytest.mark.parametrize("runs", [LONG, "/dev/null", "/proc/x", "/dev/null/x"], ids=lambda text: text[:20])
def test_what_is_no_folder_of_runs_is_refused(door: Door, runs: str) -> None:
    door.refused("search", f"--model={SPEC}", "--budget=0.5flops", f"--runs={runs}")


@pytest.mark.parametrize("trials", ["0", "-3", "+", "+-3", "1e3", "\u00b2", "9" * 5000, "+0", " 3", "3\n"])
def test_a_number_of_trials_to_resume_with_is_a_count(door: Door, trials: str) -> None:
    assert "--trials" in door.refused("resume", "mine", f"--trials={trials}")


@pytest.mark.parametrize("option", ["--seed=-1", f"--seed={DIGITS}", "--limit=-1", "--split=train", "--data=sys:exit"])
def test_options_of_other_commands_are_held_to_the_same_ranges(door: Door, option: str) -> None:
    (door.home / "model.onnx").write_bytes(b"")
    door.refused("evaluate", "model.onnx", "--data=digits", option)


@pytest.mark.parametrize("option", ["--input-size=0", f"--input-size={DIGITS}", f"--classes={DIGITS}", "--classes=0"])
def test_a_network_to_describe_has_a_size(door: Door, option: str) -> None:
    door.refused("describe", SPEC, option)
