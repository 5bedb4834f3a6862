from dataclasses import replace
from pathlib import Path

from automl.report.html import Report, sentence
from automl.report.note import note, plain

LINKS = {"tradeoff": "/a/1", "history": "/a/2", "report.html": "/a/3"}
PAGE = Path("/runs/mine-2/report.html")


def test_a_finished_run_has_its_verdict_budgets_plots_and_report(report: Report) -> None:
    text = note(report, PAGE, LINKS)
    assert text.startswith(f"**{plain(sentence(report))}**\n")
    assert "| flops | 75\\.20M | 75\\.10M | 75\\.10M | yes |\n| size | 2\\.0 MB | 7\\.1 MB | \\- | NO |" in text
    assert "![tradeoff](/a/1)" in text
    assert "[The report](/a/3)" in text
    assert "/runs/mine\\-2/report\\.html" in text
    assert "latency" not in text


def test_one_that_is_not_finished_has_no_budgets_yet(report: Report) -> None:
    text = note(replace(report, metrics=None, answers=None, details=None), PAGE, LINKS)
    assert text.startswith("**Not finished: 5 of ")
    assert "| Budget |" not in text


def test_what_users_wrote_is_no_markup() -> None:
    assert plain("a_b*c|d\n<img>![x](y)") == "a\\_b\\*c\\|d \\<img\\>\\!\\[x\\]\\(y\\)"
