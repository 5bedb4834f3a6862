"""Settings in TOML, of the user's own file and of a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.core.errors import InputError
from automl.store.config import RunConfig, from_toml, to_toml
from automl.store.run import Run
from tests.hostile.door import Door
from tests.hostile.network import SPEC

NO_TOML = {
    "empty": b"",
    "text": b"hello",
    "json": b'{"model": "x"}',
    "not utf-8": b"model = '\xff\xfe'",
    "zeros": bytes(100),
    "an escape": b"model = '\x1b[2J'",
    "twice": b"model = 'x'\nmodel = 'y'",
    "a table twice": b"[a]\n[a]",
    "deep": b"model = " + b"[" * 100_000,
    "deep and whole": b"model = " + b"[" * 20_000 + b"]" * 20_000,
    "deep keys": b".".join([b"a"] * 50_000) + b" = 1",
    "digits": b"seed = " + b"9" * 5000,
    "half": b'model = "cifar_res',
    "a pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
}
LINES = (
    "seed = 'x'",
    "seed = true",
    "seed = 1.5",
    "seed = -1",
    "seed = 99999999999999999999999999",
    "trials = 0",
    "trials = 1979-05-27",
    "time_s = nan",
    "time_s = inf",
    "time_s = -1.0",
    "time_s = 1e300",
    "trial_time_s = nan",
    "min_keep = nan",
    "min_keep = inf",
    "epochs = -1",
    "finetune_epochs = 99999999999999999999",
    "input_size = 99999999999",
    "input_size = 0",
    "limit = -1",
    "channel_multiple = 0",
    "threads = 99999999",
    "bits = '99'",
    "bits = '8'\nfirst_last_bits = 1",
    "budget = 'x'",
    "budget = []",
    "budget = [1, 2]",
    "budget = ['0.5flops', '']\nengine = 'nosuch'",
    "budget = ['1e999flops']",
    "model = ['x']",
    "model = {a = 1}",
    "model = 'nosuch'",
    'model = "x\\u0000y"',
    'data = "imagefolder:\\u0000"',
    "data = 'imagefolder:/dev/null'",
    'weights = "\\u0000"',
    "weights = '/dev/null'",
    'engine = "\\u001b[2J"',
    "engine = ''",
    "agent = 'noise=0.2'",
    "device = 'cuda:7'",
    "runtime = 'os'",
    "importance = '../x'",
    "tensorboard = 'yes'",
    "__class__ = 'x'",
    '"\\u001b[2J" = 1',
    "unknown = 1",
)


@pytest.mark.parametrize("content", NO_TOML.values(), ids=NO_TOML)
def test_what_is_no_toml_is_refused(door: Door, content: bytes) -> None:
    (door.home / "c.toml").write_bytes(content)
    door.refused("search", "--config=c.toml")


@pytest.mark.parametrize("content", NO_TOML.values(), ids=NO_TOML)
def test_the_settings_of_a_run_are_held_to_the_same(door: Door, run: Run, content: bytes) -> None:
    run.config.write_bytes(content)
    door.refused("status", "mine", inside=run.path)


@pytest.mark.parametrize("line", LINES, ids=ascii)
def test_a_setting_that_cannot_be_is_refused(door: Door, line: str) -> None:
    names = [part.partition(" = ")[0] for part in line.splitlines()]
    whole = {"model": f"'{SPEC}'", "budget": "['0.5flops']"}
    text = "\n".join([line, *(f"{name} = {value}" for name, value in whole.items() if name not in names)])
    (door.home / "c.toml").write_text(text)
    door.refused("search", "--config=c.toml")


@pytest.mark.parametrize("line", [line for line in LINES if not line.startswith("model")], ids=ascii)
def test_a_run_does_not_go_on_with_it(door: Door, run: Run, line: str) -> None:
    names = [part.partition(" = ")[0] for part in line.splitlines()]
    kept = [each for each in run.config.read_text().splitlines() if each.partition(" = ")[0] not in names]
    run.config.write_text("\n".join([*kept, line]))
    door.refused("resume", "mine", "--model", SPEC, inside=run.path)


@given(st.text(max_size=12), st.lists(st.text(max_size=6), max_size=3), st.floats(), st.integers())
def test_what_is_written_as_toml_is_read_as_it_was(text: str, budget: list[str], number: float, whole: int) -> None:
    try:
        config = RunConfig(text, text, tuple(budget), weights=text, time_s=number, seed=whole)
    except InputError:
        return
    assert repr(from_toml(to_toml(config))) == repr(config)


@given(st.text(alphabet="model=data'\"[]{}#\n.0123456789truefalsn -_\\u", max_size=60))
def test_any_text_is_toml_of_ours_or_is_refused(text: str) -> None:
    try:
        assert isinstance(from_toml(text), RunConfig)
    except InputError:
        return
