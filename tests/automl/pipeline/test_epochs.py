from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from automl.pipeline.conversation import Conversation
from automl.pipeline.epochs import curves_of, followed
from automl.search.curves import curves
from automl.store.config import RunConfig
from automl.store.run import Run
from automl.training.loop import EpochReport


def report(epoch: int) -> EpochReport:
    return EpochReport(epoch, 3, loss=1 / epoch, accuracy=epoch / 4, learning_rate=2.0**-epoch)


def train(folder: Path | None, phase: str, epochs: range) -> None:
    with followed(phase, 3, folder, Conversation.silent()) as on_epoch:
        for epoch in epochs:
            on_epoch(report(epoch))


def test_every_training_and_the_search_have_their_curves_in_one_folder(tmp_path: Path) -> None:
    train(tmp_path, "Baseline", range(1, 3))
    train(tmp_path, "Baseline", range(3, 4))  # goes on in another session
    with curves(tmp_path) as log:
        log({"search/divergence": 0.5}, 1)
    train(tmp_path, "Fine-tune", range(1, 2))
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    of_epochs = {f"{phase}/{what}" for phase in ("baseline", "fine-tune") for what in ("loss", "accuracy")}
    rates = {"baseline/learning rate", "fine-tune/learning rate"}
    assert set(events.Tags()["scalars"]) == of_epochs | rates | {"search/divergence"}
    assert [(x.step, x.value) for x in events.Scalars("baseline/accuracy")] == [(1, 0.25), (2, 0.5), (3, 0.75)]
    assert [x.value for x in events.Scalars("baseline/loss")] == pytest.approx([1, 1 / 2, 1 / 3])
    assert [x.value for x in events.Scalars("baseline/learning rate")] == [0.5, 0.25, 0.125]


def test_nothing_is_written_unless_it_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train(None, "Baseline", range(1, 4))
    assert list(tmp_path.iterdir()) == []
    run, budget = Run(tmp_path), ("0.5flops",)
    assert curves_of(run, RunConfig("cifar_resnet20", "digits", budget)) is None
    assert curves_of(run, RunConfig("cifar_resnet20", "digits", budget, tensorboard=True)) == run.curves
