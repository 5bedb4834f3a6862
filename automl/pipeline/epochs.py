"""The epochs of a training as they are followed: on the terminal, and in TensorBoard where that was asked for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from automl.pipeline.conversation import Conversation
from automl.search.curves import curves
from automl.store.config import RunConfig
from automl.store.run import Run
from automl.training.loop import EpochReport


@contextmanager
def followed(
    name: str, total: int, folder: Path | None, conversation: Conversation
) -> Iterator[Callable[[EpochReport], None]]:
    """Begins a phase of training; what it yields takes each epoch, wherever a resumed training goes on.

    Args:
        name: Of the phase, which the names of its curves begin with.
        total: Epochs in all.
        folder: Of event files for TensorBoard, the same for all phases and the search; None for none.
        conversation: Shows the epochs.
    """
    show = conversation.epochs(name, total)
    with curves(folder) as log:

        def follow(report: EpochReport) -> None:
            show(report)
            log(_curves(name.lower(), report), report.epoch)

        yield follow


def curves_of(run: Run, config: RunConfig) -> Path | None:
    """Where the curves of a run go; None where nobody asked for them."""
    return run.curves if config.tensorboard else None


def _curves(name: str, report: EpochReport) -> dict[str, float]:
    return {
        f"{name}/loss": report.loss,
        f"{name}/accuracy": report.accuracy,
        f"{name}/learning rate": report.learning_rate,
    }
