import io

import pytest
from rich.console import Console

from automl.pipeline.conversation import Conversation
from automl.report.progress import Progress
from automl.training.loop import EpochReport


def shown(first_epoch: int) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    seconds = iter(range(0, 1000, 10))
    talk = Conversation(console, Progress(console, clock=lambda: float(next(seconds))), stop=lambda: False)
    show = talk.epochs("Baseline", 4)
    for epoch in range(first_epoch, 5):
        show(EpochReport(epoch, 4, loss=0.5, accuracy=0.9, learning_rate=0.1))
    assert isinstance(console.file, io.StringIO)
    return [line.split(":")[0] for line in console.file.getvalue().splitlines()]


def test_every_epoch_is_shown() -> None:
    assert shown(1) == ["Baseline 1/4", "Baseline 2/4", "Baseline 3/4", "Baseline 4/4"]


def test_a_resumed_training_is_shown_from_where_it_goes_on() -> None:
    assert shown(3) == ["Baseline 3/4", "Baseline 4/4"]


def test_nobody_hears_a_silent_one(capfd: pytest.CaptureFixture[str]) -> None:
    talk = Conversation.silent()
    talk.say("A word.")
    talk.epochs("Baseline", 1)(EpochReport(1, 1, loss=0.5, accuracy=0.9, learning_rate=0.1))
    assert capfd.readouterr() == ("", "")
    assert not talk.stop()
