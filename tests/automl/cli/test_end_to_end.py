"""One small job through every command that works on a run."""

import json
import shutil
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.automl.cli.conftest import Cli
from tests.automl.report.pages import check_page

RANGE = ["--pareto", "flops:0.3..0.7", "--limit", "240", "--finetune-epochs", "0", "--trials", "11", "--name", "front"]
QUICK = ["--limit", "240", "--finetune-epochs", "1", "--trials", "3", "--name", "job"]


@pytest.mark.slow
def test_a_range_of_budgets_gives_a_front_of_which_every_point_can_be_exported(automl: Cli) -> None:
    searched = automl("search", *RANGE, "--epochs", "2", "--json")
    assert searched.code == 0, searched.err
    metrics = json.loads(searched.out)
    dense, points = metrics["baseline"]["macs"], metrics["front"]
    assert metrics["search"]["trials"] == 11
    assert [line["metric"] for line in metrics["budgets"]] == ["flops"]
    assert metrics["best"]["macs"] <= metrics["budgets"][0]["asked"] == pytest.approx(0.3 * dense)
    costs, divergences = ([point[key] for point in points] for key in ("cost", "divergence"))
    assert costs == sorted(set(costs))
    assert divergences == sorted(set(divergences), reverse=True)
    assert costs[0] <= 0.3 * dense
    assert 0.6 * dense < costs[-1] <= 0.7 * dense

    loosest = points[-1]["trial"]
    exported = automl("export", "front", "--trial", str(loosest), "--json")
    assert exported.code == 0, exported.err
    file = f"runs/front/exports/trial-{loosest}/model.onnx"
    measured = automl("evaluate", file, "--data", "digits", "--limit", "240", "--json")
    assert json.loads(measured.out)["macs"] == costs[-1]

    shown = automl("show", "front")
    assert "automl export front --trial N" in shown.out + shown.err
    assert f"automl export front --trial {loosest}" in Path("runs/front/report.html").read_text(encoding="utf-8")
    resumed = automl("resume", "front", "--trials", "+2", "--json")
    assert resumed.code == 0, resumed.err
    assert json.loads(resumed.out)["search"]["trials"] == 13
    table = Path("runs/front/trials.csv").read_text(encoding="utf-8").splitlines()
    column = table[0].split(",").index("level")
    # Two of each to begin with, then in turn.
    assert [row.split(",")[column] for row in table[1:]] == [*"0011223344", *"012"]


@pytest.mark.slow
def test_from_training_to_a_measured_file(automl: Cli) -> None:
    trained = automl("train", "--limit", "240", "--epochs", "2", "--out", "net.safetensors")
    assert trained.code == 0, trained.err
    searched = automl(
        "search", "--budget", "0.5flops", "--weights", "net.safetensors", *QUICK, "--tensorboard", "--json"
    )
    assert searched.code == 0, searched.err
    metrics = json.loads(searched.out)
    assert metrics["best"]["macs"] <= 0.5 * metrics["baseline"]["macs"]

    (row,) = json.loads(automl("status", "--json").out)
    assert (row["run"], row["state"], row["trials"], row["asked"]) == ("job", "done", 3, 3)
    assert row["result"] == metrics["finetuned"]

    measured = json.loads(
        automl("evaluate", "runs/job/best/model.onnx", "--data", "digits", "--limit", "240", "--json").out
    )
    assert measured["accuracy"] == pytest.approx(metrics["finetuned"]["accuracy"])
    assert measured["macs"] == metrics["budgets"][0]["measured"]

    described = json.loads(automl("describe", "cifar_resnet20", "--policy", "runs/job/best/policy.json", "--json").out)
    assert (described["macs"], described["params"]) == (metrics["best"]["macs"], metrics["best"]["params"])
    assert described["dense"]["macs"] == metrics["baseline"]["macs"]

    exported = automl("export", "job", "--trial", str(row["best"]["trial"]), "--to", "out", "--json")
    assert exported.code == 0, exported.err
    value = json.loads(exported.out)
    assert {name: Path(path).is_file() for name, path in value["files"].items()} == dict.fromkeys(value["files"], True)
    assert value["budgets"][0]["met"]

    assert automl("report", "job", "--to", "page.html").code == 0
    check_page(Path("page.html").read_text(encoding="utf-8"))
    shutil.copytree("runs/job", "runs/before")

    tuned = automl("finetune", "job", "--epochs", "2", "--json")
    assert tuned.code == 0, tuned.err
    assert json.loads(tuned.out)["best"] == metrics["best"]
    events = EventAccumulator("runs/job/tensorboard")
    events.Reload()
    assert {event.step for event in events.Scalars("search/divergence")} == {1, 2, 3}
    assert {event.step for event in events.Scalars("fine-tune/learning rate")} == {1, 2}
    (pair,) = json.loads(automl("compare", "before", "job", "--json").out)["pairs"]
    gain = json.loads(tuned.out)["finetuned"]["accuracy"] - metrics["finetuned"]["accuracy"]
    assert pair["paired"]["difference"] == pytest.approx(gain)
    resumed = automl("resume", "job", "--trials", "+1", "--json")
    assert resumed.code == 0, resumed.err
    assert json.loads(resumed.out)["search"]["trials"] == 4
