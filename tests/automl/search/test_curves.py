import importlib.util
from pathlib import Path

import optuna
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from automl.core.errors import InputError
from automl.search.curves import curves, refuse_without_tensorboard
from automl.search.registry import find_engine
from automl.search.runner import search
from tests.contracts.problem import SeparableEvaluator, separable_problem


def searched(folder: Path | None, trials: int, study: optuna.Study) -> None:
    with curves(folder) as log:
        search(
            separable_problem(SeparableEvaluator()),
            study,
            find_engine("td3", "hidden=16,pretrain=0,warmup=3"),
            trials=trials,
            seed=0,
            deadline=None,
            stop=lambda: False,
            on_trial=lambda _: None,
            log=log,
        )


def told(folder: Path, name: str) -> dict[int, float]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return {event.step: event.value for event in events.Scalars(name)}


def test_a_search_writes_a_point_per_trial_and_goes_on(tmp_path: Path) -> None:
    study = optuna.create_study()
    searched(tmp_path, 4, study)
    searched(tmp_path, 7, study)
    values = [trial.value for trial in study.get_trials()]
    divergence, best = told(tmp_path, "search/divergence"), told(tmp_path, "search/best divergence")
    assert list(divergence) == list(range(1, 8))
    assert [divergence[n] for n in range(1, 8)] == pytest.approx(values)
    assert best[7] == pytest.approx(min(value for value in values if value is not None))


def test_an_agent_says_what_it_was_told_and_how_it_learns(tmp_path: Path) -> None:
    searched(tmp_path, 7, optuna.create_study())
    assert set(told(tmp_path, "agent 0/reward")) == set(range(1, 7))
    assert set(told(tmp_path, "agent 0/critic_loss")) == {3, 4, 5, 6}  # after the warm-up
    assert told(tmp_path, "agent 0/noise")[6] == pytest.approx(0.2 * 0.98**3)


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    searched(None, 3, optuna.create_study())
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_refused_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install tensorboard"):
        refuse_without_tensorboard()
