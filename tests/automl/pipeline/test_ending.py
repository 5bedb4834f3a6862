from pathlib import Path

import pytest

from automl.pipeline.ending import MORE, ending
from automl.store.config import RunConfig
from automl.store.files import write_text
from automl.store.run import create_run

OURS = RunConfig("cifar_resnet20", "digits", ("0.5flops",))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path.resolve()


def test_a_run_that_is_done_has_its_report_its_network_and_the_way_to_more_trials() -> None:
    run = create_run(Path("runs"), "birds")
    write_text(run.report_html, "")
    write_text(run.onnx, "")
    assert ending(run, OURS, *MORE) == [
        "Run      runs/birds",
        "Report   runs/birds/report.html",
        "Network  runs/birds/best/model.onnx",
        "Go on    automl resume birds --trials +40",
    ]


def test_what_is_not_there_is_not_named() -> None:
    run = create_run(Path("runs"), "birds")
    assert ending(run, OURS) == ["Run      runs/birds", "Go on    automl resume birds"]


def test_code_of_ones_own_is_named_again_and_our_names_are_not() -> None:
    run = create_run(Path("runs"), "birds")
    config = RunConfig("nets:make", "pictures:birds", ("0.5flops",))
    assert ending(run, config)[-1] == "Go on    automl resume birds --model nets:make --data pictures:birds"
    config = RunConfig("torchvision:mobilenet_v2", "imagefolder:my photos", ("0.5flops",))
    assert ending(run, config)[-1] == "Go on    automl resume birds"


def test_a_run_of_another_folder_is_named_by_its_path_quoted_where_a_shell_needs_it(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create_run(Path("my work"), "birds")
    assert ending(run, OURS) == ["Run      my work/birds", "Go on    automl resume 'my work/birds'"]
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert ending(run, OURS)[0] == f"Run      {here}/my work/birds"
