from dataclasses import fields
from pathlib import Path

import pytest

from automl.core.errors import InputError
from automl.store.config import RunConfig, from_toml, load_config, read_settings, to_toml

FULL = RunConfig(
    model="torchvision:mobilenet_v2",
    data='imagefolder:C:\\bilder "neu"\n\x7f ä',
    budget=("0.5flops", "2.2Mparams"),
    weights="w.safetensors",
    input_size=160,
    engine="td3",
    agent="noise=0.3",
    trials=60,
    time_s=1e-05,
    seed=7,
    device="cuda",
    target="device.json",
    threads=2,
    runtime="openvino",
    bits="4,8",
    first_last_bits=6,
    channel_multiple=8,
    min_keep=0.125,
    epochs=30,
    finetune_epochs=0,
    importance="taylor",
    storage="postgresql://me@host/db",
    trial_time_s=90.0,
    limit=5000,
    tensorboard=True,
    pareto="size:0.1..0.4",
)
REQUIRED = 'model = "m"\ndata = "d"\nbudget = ["0.5flops"]\n'


def test_a_config_survives_the_way_through_toml() -> None:
    assert from_toml(to_toml(FULL)) == FULL


def test_the_full_config_of_these_tests_sets_every_field() -> None:
    assert all(getattr(FULL, field.name) is not None for field in fields(RunConfig))


def test_a_range_of_budgets_needs_no_limit_beside_it() -> None:
    config = RunConfig("m", "d", (), pareto="flops:0.1..0.9")
    assert from_toml(to_toml(config)) == config
    assert config.asked == ("flops:0.1..0.9",)
    levels = [str(budget) for budget in config.levels]
    assert levels == ["0.1flops", "0.1732flops", "0.3flops", "0.5196flops", "0.9flops"]


def test_without_a_range_there_is_one_level() -> None:
    config = RunConfig("m", "d", ("0.5flops", "2MB"))
    assert config.asked == ("0.5flops", "2MB")
    assert [str(budget) for budget in config.levels] == ["0.5flops,2MB"]


def test_none_is_left_out() -> None:
    config = RunConfig("m", "d", ("0.5flops",))
    assert "weights" not in to_toml(config)
    assert from_toml(to_toml(config)) == config


def test_a_whole_number_is_taken_where_seconds_are_meant() -> None:
    assert from_toml(REQUIRED + "time_s = 90\n").time_s == 90.0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("trails = 3", "Did you mean `trials`"),
        ("zzz = 3", "There are: model, data"),
        ("trials = true", "`trials` in The configuration must be int, but got True"),
        ('trials = "3"', "must be int"),
        ("trials = 3.5", "must be int"),
        ("weights = 3", "must be str"),
        ("not toml", "must be TOML"),
    ],
)
def test_a_bad_line_is_refused_with_the_way_out(line: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_toml(REQUIRED + line)


@pytest.mark.parametrize("budget", ['"0.5flops"', "[0.5]", "0.5"])
def test_a_budget_is_a_list_of_texts(budget: str) -> None:
    with pytest.raises(InputError, match="`budget` in F must be a list of texts"):
        read_settings(f"budget = {budget}", "F")


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(InputError, match="must say `budget`"):
        from_toml('model = "m"\ndata = "d"\n')


def test_settings_may_leave_the_rest_to_the_command_line() -> None:
    assert read_settings('engine = "gp"\nbudget = ["2MB"]', "F") == {"engine": "gp", "budget": ("2MB",)}


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be readable"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(InputError, match="must be readable"):
        load_config(tmp_path / "bytes.toml")
