from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from automl.core.errors import BudgetError
from automl.pipeline.baseline import CACHE
from automl.pipeline.problem import open_problem
from automl.store.config import RunConfig

CONFIG = RunConfig("tests.automl.pipeline.test_problem:tiny", "digits", ("0.5flops",), epochs=1, limit=300)


def tiny(classes: int = 10) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, classes),
    )


def test_a_problem_is_opened_without_a_word_and_measures_its_policies(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    problem = open_problem(CONFIG, runs=tmp_path)
    assert capfd.readouterr() == ("", "")
    policy = problem.solved([0.0] * len(problem.knobs))
    evaluation = problem.evaluate(policy)
    assert evaluation.policy == policy
    assert evaluation.divergence > 0
    assert problem.budget.used(evaluation.cost, problem.dense) <= 1.0
    assert [path.name for path in tmp_path.iterdir()] == [CACHE]


def test_the_baseline_is_trained_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = open_problem(CONFIG, runs=tmp_path, verbose=True)
    assert "Baseline 1/1" in capsys.readouterr().err
    second = open_problem(replace(CONFIG, budget=("0.25flops",)), runs=tmp_path, verbose=True)
    said = capsys.readouterr().err
    assert "Baseline: reused" in " ".join(said.split())
    assert "Sensitivity 2/2" in said
    assert first.sensitivity == second.sensitivity


def test_a_budget_that_cannot_be_met_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(BudgetError):
        open_problem(replace(CONFIG, budget=("0.0001flops",)), runs=tmp_path)
    assert list(tmp_path.iterdir()) == []
