"""The one training loop: baselines learn from labels, pruned networks from the dense one too."""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from automl.training.borrowing import borrowed
from automl.training.checkpoint import Identity, read_checkpoint, write_checkpoint
from automl.training.lockstep import Lockstep
from automl.training.portions import LabelledImages, batch_images
from automl.training.recipe import Recipe
from automl.training.session import Session, TrainingSets
from automl.training.team import Team

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EpochReport:
    """One epoch that is done."""

    epoch: int
    """Counted from 1."""
    epochs: int
    """How many there will be."""
    loss: float
    """Mean training loss of the epoch."""
    accuracy: float
    """On the selection split, in [0, 1]; agreement with the teacher where there are no labels."""
    learning_rate: float
    """Of its last step."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A training that is done; the network holds the weights it speaks of."""

    accuracy: float
    """Of the kept weights on the selection split, in [0, 1]; agreement with the teacher where there are no labels."""
    epoch: int
    """Epoch whose weights were kept, mostly the last; 0 for those that the training was given."""
    epochs: int
    """Epochs of the whole training."""
    seconds: float
    """Wall time, earlier sessions of a resumed training included."""


def train(
    model: nn.Module,
    *,
    train_set: LabelledImages,
    selection_set: LabelledImages,
    calibration_set: LabelledImages,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    teacher: nn.Module | None = None,
    checkpoint: Path | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    stop: Callable[[], bool] | None = None,
    fingerprint: str = "",
    team: Team | None = None,
) -> TrainResult:
    """Trains `model` in place; afterwards it holds the last weights, or earlier ones that are clearly better.

    Clearly is by more than a standard error of the selection accuracy. The weights that it starts from take part as
    they are; later ones are measured with recalibrated batch-norm statistics: on a data set of 1,800 images the running
    averages alone cost a pruned MobileNetV2 seven points of accuracy.
    On a CPU the same seed gives the same weights, resumed or not; torch's global generator is left as it was.

    Args:
        model: Moved to `device`; its train and eval flags are as before afterwards.
        train_set: At least two images.
        selection_set: What the epoch whose weights stay is chosen by.
        calibration_set: What batch norm is recalibrated on; at least two images.
        recipe: How.
        seed: Of the order of the images and of whatever draws from torch's generator, such as augmentation.
        device: Where to compute.
        teacher: Moved to `device`, run in eval mode, never changed.
        checkpoint: Written after each epoch. If it is there, the training goes on from it.
        on_epoch: Called after each epoch, when its checkpoint is on disk.
        stop: Asked before each step whether the user wants to stop.
        fingerprint: Digest of network and data, so that another training's checkpoint is refused.
        team: Processes that this one leads, while the others `follow`; None where it trains alone. The weights are the
            same but for the order of sums, unless the network itself draws random numbers, as dropout does.

    Raises:
        AutoMLError: If the loss or its gradient is not finite.
        DataError: If an image has neither a label nor a teacher.
        InterruptedRunError: If `stop` said so; the epochs before are in the checkpoint.
        LostProcessError: If another process of the team has ended; the same.
        RunError: If the checkpoint cannot be written, is damaged, or belongs to another training.
    """
    sets = TrainingSets(train_set, selection_set, calibration_set)
    identity = Identity(fingerprint, seed, recipe)
    with borrowed([model] if teacher is None else [model, teacher], device):
        if teacher is not None:
            teacher.eval()
        found = None if checkpoint is None else read_checkpoint(checkpoint, identity, device)
        lockstep = None if team is None else Lockstep(team, model, recipe, batch_images(train_set, recipe))
        session = Session(model, teacher, sets, recipe, seed, device, found, lockstep)
        with nullcontext() if lockstep is None else lockstep.leading(teacher, session.epoch):
            while session.epoch < recipe.epochs:
                loss = session.run_epoch(stop)
                if checkpoint is not None:
                    write_checkpoint(checkpoint, session.checkpoint(), identity)
                if on_epoch is not None:
                    accuracy, rate = session.score.accuracy, session.learning_rate
                    on_epoch(EpochReport(session.epoch, recipe.epochs, loss, accuracy, rate))
        session.finish()
    kept = session.kept
    _log.info("Kept epoch %d of %d: selection accuracy %.4f", kept.epoch, recipe.epochs, kept.score.accuracy)
    return TrainResult(kept.score.accuracy, kept.epoch, recipe.epochs, session.seconds)
