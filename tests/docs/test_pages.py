"""The code of the pages runs as it stands; each page that has some has its test here."""

import itertools
import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from tests.automl.report.browser import Browser, Theme, check_in_browser, executable
from tests.docs.pages import marked_pages, run_page

pytestmark = pytest.mark.slow
TESTED = {"api.md", "budgets.md", "environment.md", "images.md", "model.md", "tutorial.md"}
SECTIONS = {
    "Result",
    "Budgets",
    "How sure that is",
    "The search",
    "The policy",
    "How to read this",
    "Where this comes from",
}
"""Of a finished search, whatever it found."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_page_with_code_is_run() -> None:
    assert marked_pages() == TESTED


def test_the_tutorial_ends_with_a_file_within_the_budget_that_reads_a_digit(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = run_page("tutorial.md", here)
    metrics = json.loads((here / "runs" / "digits" / "best" / "metrics.json").read_text())
    assert metrics["budgets"][0]["met"]
    assert metrics["finetuned"]["accuracy"] > 0.8  # chance is 0.1
    assert names["logits"].shape == (1, 10)
    said = capsys.readouterr().out
    assert "This is a" in said
    assert f"{100 * metrics['finetuned']['accuracy']:.1f}%" in said  # `show` and `evaluate` say it
    check_report(here / "runs" / "digits" / "report.html", here / "profile")


def check_report(page: Path, profile: Path) -> None:
    """Every section can be seen, where there is a browser to look; CI has one."""
    path = executable()
    if path is None:
        return
    with Browser(path, profile) as browser:
        for width, theme in itertools.product((1280, 390), get_args(Theme)):
            assert set(check_in_browser(browser, page, width, theme).sections) >= SECTIONS


def test_the_python_page_searches_is_refused_and_opens_a_problem(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = run_page("api.md", here)
    assert names["result"].metrics.search.trials == 3
    assert names["result"].run.parent == here / "runs"
    assert "BudgetError 2 A budget must be reachable" in capsys.readouterr().out


def test_a_data_set_of_ones_own_is_searched(here: Path) -> None:
    run_page("images.md", here)
    assert (here / "runs" / "stripes" / "best" / "model.onnx").is_file()


def test_a_network_of_ones_own_is_described(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_page("model.md", here)
    said = capsys.readouterr().out
    assert "stem" in said
    assert "class logits" in said


def test_budgets_are_read_as_their_page_says(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_page("budgets.md", here)
    assert capsys.readouterr().out.splitlines() == [
        "0.25flops limits flops to 0.25 of the dense",
        "2MB limits size to 2000000.0 ",
        "5ms limits latency to 5.0 ",
    ]


def test_the_environment_is_played_as_its_page_says(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = run_page("environment.md", here)
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["reward"] * 4 + ["PPO:", "4", "rewards"]
    assert len(names["monitor"].get_episode_rewards()) == 4
    assert np.isfinite(names["rewards"]).all()
    assert ((names["infos"]["used"] >= 0.98) & (names["infos"]["used"] <= 1.0)).all()
