import json
import webbrowser
from pathlib import Path

import pytest

from automl.pipeline.reporting import render_run
from automl.report.details import Details, LayerRow, write_details
from automl.store.address import StudyAddress
from automl.store.answers import write_answers
from automl.store.study import open_study
from tests.automl.cli.conftest import Cli, MakeRun, answers, evaluation
from tests.automl.report.pages import check_page
from tests.contracts.trials import fail

LAYER = LayerRow("a", "conv", "a", (16, 4), (3, 3), (400, 100), 32, 32, None, 0.5, 0.75)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a browser was asked to open."""
    asked: list[str] = []

    def remember(url: str) -> bool:
        asked.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", remember)
    return asked


def test_the_report_of_a_run_is_rendered_again_from_its_folder(automl: Cli, make_run: MakeRun) -> None:
    run = make_run("a")
    outcome = automl("report", "a")
    assert (outcome.code, outcome.out) == (0, f"{run.report_html}\n")
    text = check_page(run.report_html.read_text(encoding="utf-8")).text
    assert {"automl: a", "97.0%", "Exported less Baseline"} <= set(text)
    assert {path.name for path in run.plots.iterdir()} == {"history.svg", "tradeoff.svg"}


def test_the_same_run_gives_the_same_page(automl: Cli, make_run: MakeRun) -> None:
    run = make_run("a")
    pages = []
    for _ in range(2):
        automl("report", "a")
        pages.append(run.report_html.read_bytes())
    assert pages[0] == pages[1]


def test_a_run_that_is_not_finished_has_a_report_too(automl: Cli, make_run: MakeRun) -> None:
    run = make_run("a", asked=40, done=False)
    assert automl("report", run.path).code == 0
    assert "Not finished: 3 of 40 trials" in run.report_html.read_text(encoding="utf-8")


def test_the_page_goes_where_it_is_asked_to(automl: Cli, make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("a")
    assert automl("report", "a", "--to", "out/page.html").code == 0
    check_page((tmp_path / "out" / "page.html").read_text(encoding="utf-8"))
    assert not run.report_html.exists()


def test_a_file_that_exists_is_not_written_over(automl: Cli, make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a")
    (tmp_path / "mine.html").write_text("mine")
    (tmp_path / "dangling.html").symlink_to("nowhere")
    for name in ("mine.html", "dangling.html"):
        outcome = automl("report", "a", "--to", name)
        assert (outcome.code, outcome.out) == (2, "")
        assert f"rm {name}" in outcome.err
    assert (tmp_path / "mine.html").read_text() == "mine"
    assert "is a folder" in automl("report", "a", "--to", "runs").err


def test_one_file_is_for_one_run(automl: Cli, make_run: MakeRun) -> None:
    make_run("a")
    make_run("b")
    outcome = automl("report", "a", "b", "--to", "page.html")
    assert outcome.code == 2
    assert "automl compare" in outcome.err


def test_a_run_without_trials_says_how_to_go_on(automl: Cli, make_run: MakeRun) -> None:
    run = make_run("a", trials=0, done=False)
    outcome = automl("report", "a")
    assert (outcome.code, outcome.out) == (2, "")
    assert "automl resume a" in outcome.err
    run.study_db.unlink()
    assert "has none yet" in automl("report", "a").err
    assert not run.study_db.exists()


def test_a_run_whose_trials_all_failed_says_why(automl: Cli, make_run: MakeRun) -> None:
    run = make_run("a", trials=0, done=False)
    with open_study(StudyAddress.of_file(run.study_db)) as study:
        for reason in ("out of memory.", "the disk is gone."):
            fail(study, evaluation(0.5).policy, reason)
    outcome = automl("report", "a")
    assert outcome.code == 2
    assert "all 2 of 'a' failed, the last with: the disk is gone." in outcome.err


def test_a_run_of_an_older_version_is_refused_with_the_way_out(automl: Cli, make_run: MakeRun) -> None:
    run = make_run("a")
    run.manifest.write_text(run.manifest.read_text().replace('"schema": 2', '"schema": 1'))
    outcome = automl("report", "a")
    assert outcome.code == 2
    assert "the version of automl that made it" in outcome.err


def test_a_run_without_answers_and_details_has_what_is_left(automl: Cli, make_run: MakeRun) -> None:
    run = make_run("a")
    run.answers.unlink()
    assert automl("report", "a").code == 0
    html = run.report_html.read_text(encoding="utf-8")
    assert "How sure that is" not in html
    assert "automl resume a" in html


def test_what_a_kill_left_of_another_result_is_not_told(automl: Cli, make_run: MakeRun) -> None:
    run = make_run("a")
    write_details(run.details, Details("of another policy", (LAYER,), (), ()))
    write_answers(run.answers, answers(wrong=range(50)))
    assert automl("report", "a").code == 0
    html = run.report_html.read_text(encoding="utf-8")
    assert "Every layer in numbers" not in html
    assert "How sure that is" not in html
    write_details(run.details, Details(evaluation(0.2).policy.digest(), (LAYER,), (), ()))
    assert automl("report", "a").code == 0
    assert "Every layer in numbers" in run.report_html.read_text(encoding="utf-8")


def test_damaged_files_are_refused_by_name(automl: Cli, make_run: MakeRun) -> None:
    run = make_run("a")
    for path in (run.answers, run.details, run.metrics):
        path.write_text("damaged")
        outcome = automl("report", "a")
        assert outcome.code == 2
        assert path.name in outcome.err


def test_one_bad_run_does_not_keep_the_others_from_their_reports(automl: Cli, make_run: MakeRun) -> None:
    first, last = make_run("a"), make_run("c")
    make_run("b", trials=0, done=False)
    outcome = automl("report", "a", "b", "nosuch", "c", "--json")
    assert outcome.code == 2
    assert "2 of 4 runs have no report" in outcome.err
    assert "'nosuch'" in outcome.err
    assert json.loads(outcome.out) == [
        {"run": "a", "report": str(first.report_html)}, {"run": "c", "report": str(last.report_html)},
    ]  # fmt: skip


def test_pages_are_opened_in_a_browser_if_asked_for(automl: Cli, make_run: MakeRun, opened: list[str]) -> None:
    run = make_run("a")
    automl("report", "a")
    assert opened == []
    automl("report", "a", "--open")
    assert opened == [run.report_html.as_uri()]


def test_hundreds_of_pages_are_not_all_opened(automl: Cli, make_run: MakeRun, opened: list[str]) -> None:
    for number in range(7):
        make_run(f"run{number}")
    outcome = automl("report", *(f"run{number}" for number in range(7)), "--open")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 7
    assert len(opened) == 5
    assert "the first 5 of 7" in outcome.err


def test_without_a_browser_it_says_where_the_page_is(
    automl: Cli, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("a")
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    outcome = automl("report", "a", "--open")
    assert outcome.code == 0
    assert "There is no browser here" in outcome.err
    assert str(run.report_html) in outcome.err


def test_a_run_that_is_given_twice_is_rendered_once(automl: Cli, make_run: MakeRun) -> None:
    make_run("a")
    assert len(automl("report", "a", "a").out.splitlines()) == 1


def test_nothing_but_the_report_and_its_plots_is_written(make_run: MakeRun) -> None:
    run = make_run("a")
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    render_run(run)
    after = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    made = {run.report_html, run.plots / "history.svg", run.plots / "tradeoff.svg"}
    assert set(after) - set(before) == made
    assert {path: after[path] for path in before} == before
