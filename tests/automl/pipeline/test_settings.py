import os
from pathlib import Path

import pytest

from automl.core.errors import InputError
from automl.pipeline.settings import DEFAULT_DATA, DEFAULT_MODEL, resolved


def test_options_override_the_file_which_overrides_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "search.toml"
    file.write_text('model = "timm:resnet18"\nbudget = ["0.5flops"]\ntrials = 7\n')
    config = resolved(file, {"trials": 9, "seed": None})
    assert (config.model, config.budget, config.trials) == ("timm:resnet18", ("0.5flops",), 9)
    assert (config.data, config.seed) == (DEFAULT_DATA, 0)


def test_without_a_file_the_defaults_hold() -> None:
    config = resolved(None, {"budget": ("2MB",), "model": None})
    assert (config.model, config.data) == (DEFAULT_MODEL, DEFAULT_DATA)


def test_a_search_without_a_budget_is_refused() -> None:
    with pytest.raises(InputError, match=r"--budget 0\.25flops"):
        resolved(None, {"budget": None})


def test_a_range_of_budgets_needs_no_budget_but_trials_for_each_of_its_levels() -> None:
    config = resolved(None, {"pareto": "flops:0.2..0.6", "trials": 10})
    assert (config.budget, config.pareto) == ((), "flops:0.2..0.6")
    assert resolved(None, {"pareto": "flops:0.2..0.6"}, needs_budget=False).budget == ()
    with pytest.raises(InputError, match=r"needs 10 of them, but got `--trials 9`.*one `--budget`"):
        resolved(None, {"pareto": "flops:0.2..0.6", "trials": 9})


def test_training_alone_needs_no_budget() -> None:
    assert resolved(None, {}, needs_budget=False).budget == ("1flops",)


def test_paths_become_absolute_so_that_a_run_can_be_resumed_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = resolved(None, {"budget": ("1flops",), "weights": "w.pth", "data": "imagefolder:pets"})
    assert config.weights == str(tmp_path / "w.pth")
    assert config.data == f"imagefolder:{tmp_path / 'pets'}"


def test_pretrained_is_no_path() -> None:
    assert resolved(None, {"budget": ("1flops",), "weights": "pretrained"}).weights == "pretrained"


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"`--config` must name a readable UTF-8 file, but .*none\.toml"):
        resolved(tmp_path / "none.toml", {})


def test_a_password_goes_to_the_environment_wherever_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "from before")
    file = tmp_path / "search.toml"
    file.write_text('budget = ["0.5flops"]\nstorage = "postgresql://me:secret@host/db"\n')
    assert resolved(file, {}).storage == "postgresql://me@host/db"
    assert os.environ["PGPASSWORD"] == "secret"


@pytest.mark.parametrize(
    ("given", "words"),
    [({"trials": "40"}, "`trials` in this call must be int, but got '40'"), ({"trails": 40}, "Did you mean `trials`")],
)
def test_values_of_the_wrong_type_and_unknown_settings_are_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        resolved(None, {"budget": ("0.5flops",), **given})
