"""One small job through every command that works on a run."""

import json
import shutil
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.automl.cli.conftest import Cli
from tests.automl.report.pages import check_page

QUICK = ["--limit", "240", "--finetune-epochs", "1", "--trials", "3", "--name", "job"]


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
