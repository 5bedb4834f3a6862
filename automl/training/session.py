"""A training between its first and its last step."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from automl.compress.batch_norm import recalibrate
from automl.core.errors import InterruptedRunError
from automl.data.splits import batches
from automl.training.checkpoint import Checkpoint, Kept, check_form
from automl.training.learner import Learner
from automl.training.lockstep import Lockstep
from automl.training.portions import LabelledImages, portions, seed_epoch
from automl.training.recipe import Recipe
from automl.training.score import Score, measure

_MEASURING_BATCH = 64


@dataclass(frozen=True, slots=True)
class TrainingSets:
    """What a training reads."""

    train: LabelledImages
    """What the weights are fitted to."""
    selection: LabelledImages
    """What the epoch whose weights stay is chosen by."""
    calibration: LabelledImages
    """What batch norm is recalibrated on; the labels are not read."""


class Session:
    """What changes from epoch to epoch: weights, optimizer, schedule and the weights to stay with.

    Every random number of an epoch follows from the seed and the epoch's number, so that a resumed training
    draws the same ones. The caller keeps torch's global generator from harm.

    Args:
        model: On `device`, channels last.
        teacher: The same, in eval mode; None to learn from the labels alone.
        sets: What is read.
        recipe: How.
        seed: Of every random choice.
        device: Where to compute.
        checkpoint: Where to go on from; None to start.
        lockstep: The processes that this one leads; None where it trains alone.
    """

    def __init__(
        self,
        model: nn.Module,
        teacher: nn.Module | None,
        sets: TrainingSets,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        checkpoint: Checkpoint | None,
        lockstep: Lockstep | None = None,
    ) -> None:
        self._began, self._seconds_before = time.monotonic(), 0.0
        self._model, self._teacher, self._sets = model, teacher, sets
        self._recipe, self._seed, self._device = recipe, seed, device
        self._team = None if lockstep is None else lockstep.team
        self._learner = Learner(model, recipe, recipe.epochs * len(self._train_batches(0)), lockstep)
        self.epoch = 0
        if checkpoint is None:
            # As it was given: recovery sets batch norms better than a few images can.
            self.score = self._score()
            self.kept = self._keep()
        else:
            self._restore(checkpoint)

    @property
    def seconds(self) -> float:
        """Wall time of this session and of those before."""
        return self._seconds_before + time.monotonic() - self._began

    @property
    def learning_rate(self) -> float:
        """Of the last step."""
        return self._learner.learning_rate

    def run_epoch(self, stop: Callable[[], bool] | None) -> float:
        """One pass over the training set and a measurement; returns the mean loss."""
        losses = []
        seed_epoch(self._seed, self.epoch)
        self._model.train()
        for images, labels in self._train_batches(self.epoch):
            if stop is not None and stop():
                raise InterruptedRunError(
                    f"The training was stopped after {self.epoch} of {self._recipe.epochs} epochs, which are kept."
                )
            losses.append(self._step(images, labels))
        self.epoch += 1
        calibration = batches(self._sets.calibration, _MEASURING_BATCH)
        recalibrate(self._model, (self._moved(images) for images, _ in calibration))
        self.score = self._score()
        if self._is_worth_keeping():
            self.kept = self._keep()
        return math.fsum(losses) / len(losses)

    def checkpoint(self) -> Checkpoint:
        """Everything that the next epoch depends on."""
        return Checkpoint(
            self.epoch,
            self.seconds,
            self._model.state_dict(),
            self._learner.optimizer.state_dict(),
            self._learner.schedule.state_dict(),
            self.kept,
        )

    def finish(self) -> None:
        """Leaves the kept weights in the network, and no gradients."""
        self._model.load_state_dict(self.kept.weights)
        self._learner.optimizer.zero_grad()

    def _restore(self, checkpoint: Checkpoint) -> None:
        steps = checkpoint.epoch * len(self._train_batches(0))
        check_form("model", checkpoint.model, self._model.state_dict())
        check_form("best weights", checkpoint.kept.weights, self._model.state_dict())
        self._learner.check(checkpoint.optimizer, checkpoint.schedule, steps)
        self._model.load_state_dict(checkpoint.model)
        self._learner.schedule.load_state_dict(dict(checkpoint.schedule))
        self._learner.optimizer.load_state_dict(dict(checkpoint.optimizer))
        self.epoch, self.kept, self._seconds_before = checkpoint.epoch, checkpoint.kept, checkpoint.seconds
        self.score = checkpoint.kept.score

    def _step(self, images: Tensor, labels: Tensor) -> float:
        images = self._moved(images)
        teacher_logits = None
        if self._teacher is not None:
            with torch.no_grad():
                teacher_logits = self._teacher(images)
        return self._learner.learn(images, labels.to(self._device), teacher_logits)

    def _score(self) -> Score:
        self._model.eval()
        selection = batches(self._sets.selection, _MEASURING_BATCH)
        moved = ((self._moved(images), labels.to(self._device)) for images, labels in selection)
        return measure(self._model, moved, self._teacher)

    def _is_worth_keeping(self) -> bool:
        if self.epoch < self._recipe.epochs:
            return self.score.better_than(self.kept.score)
        # The schedule ends with the last epoch, whose weights are the best but for accident. A selection split of a few
        # hundred images, all answered rightly by many epochs, would take an early one: by a tie, or by one image.
        return not self.kept.score.clearly_better_than(self.score)

    def _keep(self) -> Kept:
        weights = {name: tensor.clone() for name, tensor in self._model.state_dict().items()}
        return Kept(self.epoch, self.score, weights)

    def _moved(self, images: Tensor) -> Tensor:
        return images.to(self._device, memory_format=torch.channels_last)

    def _train_batches(self, epoch: int) -> DataLoader[tuple[Tensor, int]]:
        return portions(self._sets.train, self._recipe, self._seed, epoch, self._team)
