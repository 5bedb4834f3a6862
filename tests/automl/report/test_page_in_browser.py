"""The pages in a real browser; skips where there is none."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from automl.report.comparison import RunResult, compared
from automl.report.comparison_page import write_comparison
from automl.report.html import Report, report_plots, write_report
from automl.report.metrics import Metrics
from tests.automl.report.browser import NAMES, Browser, Theme, check_in_browser, executable


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    path = executable()
    if path is None:
        pytest.skip(f"needs a browser, but none of {', '.join(NAMES)} is on the path")
    with Browser(path, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_report_opens_without_a_complaint_and_scrolls_up_and_down_only(
    browser: Browser, tmp_path: Path, report: Report, timed: Metrics, width: int, theme: Theme
) -> None:
    whole = replace(report, metrics=timed, name="a-rather-long-name-of-a-run-that-says-what-it-is-0.25flops-2")
    write_report(tmp_path / "sample.html", whole, report_plots(whole))
    check_in_browser(browser, tmp_path / "sample.html", width, theme)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_comparison_does_so_too(
    browser: Browser, tmp_path: Path, report: Report, metrics: Metrics, width: int, theme: Theme
) -> None:
    labels = ("first-of-several", "second-of-several")
    results = [RunResult(x, tmp_path / x, report.config, report.manifest, metrics, None) for x in labels]
    write_comparison(tmp_path / "comparison.html", compared(results))
    check_in_browser(browser, tmp_path / "comparison.html", width, theme)
