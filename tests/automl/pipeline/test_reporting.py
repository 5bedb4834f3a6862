from dataclasses import replace
from pathlib import Path

import pytest

from automl.pipeline.conversation import Conversation
from automl.pipeline.reporting import read_report, render_run
from automl.pipeline.runs import start_run
from automl.store.run import Run
from tests.automl.pipeline.test_profiling import CONFIG
from tests.automl.report.pages import check_page


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small search that is finished."""
    config = replace(CONFIG, budget=("0.5flops",), engine="random", trials=3, epochs=1, finetune_epochs=1)
    return start_run(config, tmp_path_factory.mktemp("runs"), "job", (), Conversation.silent())[0]


def test_a_finished_run_keeps_every_answer_behind_its_accuracies(run: Run) -> None:
    found = read_report(run)
    assert found.answers is not None
    assert found.metrics is not None
    for name, row in found.metrics.rows().items():
        if row is None:
            assert name not in found.answers.networks
        else:
            assert found.answers.right(name).mean() == pytest.approx(row.accuracy)


def test_the_layers_of_its_policy_add_up_to_the_costs_of_the_result(run: Run) -> None:
    found = read_report(run)
    assert found.details is not None
    assert found.metrics is not None
    layers = found.details.layers
    assert sum(row.macs[0] for row in layers) == found.metrics.baseline.macs
    assert sum(row.macs[1] for row in layers) == found.metrics.final.macs
    assert any(row.loss_at_half for row in layers)


def test_the_uniform_policy_and_the_chosen_one_are_among_the_trials(run: Run) -> None:
    found = read_report(run)
    assert found.uniform is not None
    assert found.metrics is not None
    assert found.uniform.evaluation.cost.macs == found.metrics.uniform.macs
    assert found.chosen is not None
    assert len(found.trials) == 3


def test_the_page_is_rendered_again_from_the_folder_alone(run: Run, tmp_path: Path) -> None:
    """Not even from the folder where it was made."""
    moved = Run(run.path.rename(tmp_path / "elsewhere"))
    try:
        written = moved.report_html.read_text(encoding="utf-8")
        moved.report_html.unlink()
        render_run(moved)
        again = moved.report_html.read_text(encoding="utf-8")
        assert again == written.replace("automl: job", "automl: elsewhere")
        page = check_page(again)
        assert {"Where they disagree", "The policy", "How sure that is"} <= set(page.text)
    finally:
        moved.path.rename(run.path)
