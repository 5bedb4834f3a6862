"""One network and its optimizer: a step per batch."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from automl.core.errors import AutoMLError, RunError
from automl.training.checkpoint import check_form
from automl.training.distillation import distillation_loss
from automl.training.lockstep import Lockstep
from automl.training.recipe import Recipe

_MOST_GRADIENT = 5.0
"""Gradients with a longer norm are scaled down to this one."""

_PROGRESS = {"last_epoch", "_step_count", "_last_lr", "_is_initial", "_get_lr_called_within_step"}
"""What of a schedule's state changes from step to step."""


class Learner:
    """Learns batch by batch, in train mode.

    Args:
        model: On the device where it learns.
        recipe: How.
        steps: Batches in all, for the schedule.
        lockstep: The processes that make the gradient with this one; None where it learns alone.
    """

    def __init__(self, model: nn.Module, recipe: Recipe, steps: int, lockstep: Lockstep | None = None) -> None:
        self._model, self._recipe, self._lockstep = model, recipe, lockstep
        self.optimizer = _optimizer(model, recipe)
        self.schedule = _schedule(self.optimizer, recipe, max(1, steps))
        self.learning_rate = recipe.learning_rate
        """Of the last step."""

    def learn(self, images: Tensor, labels: Tensor, teacher_logits: Tensor | None) -> float:
        """One step; returns the loss.

        Args:
            images: Shape `[N, C, H, W]`; this process's part of the batch.
            labels: Shape `[N]`.
            teacher_logits: Shape `[N, classes]`; None to learn from the labels alone.

        Raises:
            AutoMLError: If the loss or its gradient is not finite.
            LostProcessError: If another process has ended.
        """
        self.optimizer.zero_grad()
        loss = self._gradient(images, labels, teacher_logits)
        norm = float(nn.utils.clip_grad_norm_(self._model.parameters(), _MOST_GRADIENT))
        value = loss.item()
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise AutoMLError(
                f"A training loss must stay finite, but in step {self.schedule.last_epoch + 1} it is {value:g} and its "
                f"gradient {norm:g}. Lower the learning rate of {self._recipe.learning_rate:g}, "
                "or check the images and the weights for NaN."
            )
        self.learning_rate = float(self.optimizer.param_groups[0]["lr"])
        self.optimizer.step()
        self.schedule.step()
        return value

    def check(self, optimizer: Mapping[str, Any], schedule: Mapping[str, Any], steps: int) -> None:
        """Refuses states that are not those of this learner after so many steps.

        Raises:
            RunError: If they have another form, or the schedule is another one or elsewhere.
        """
        own, parameters = (
            self.optimizer.state_dict(),
            [x for each in self.optimizer.param_groups for x in each["params"]],
        )
        found = optimizer.get("state")
        # A parameter that never had a gradient has no momentum.
        had = [number for number in range(len(parameters)) if isinstance(found, Mapping) and number in found]
        check_form("optimizer", optimizer, {**own, "state": {x: {"momentum_buffer": parameters[x]} for x in had}})
        now = self.schedule.state_dict()
        check_form("schedule", schedule, now)
        fixed = {name: value for name, value in now.items() if name not in _PROGRESS} | {"last_epoch": steps}
        moved = [name for name, value in fixed.items() if schedule[name] != value]
        if moved:
            raise RunError(f"A training goes on where its schedule ended, but the checkpoint has another {moved[0]!r}.")

    def _gradient(self, images: Tensor, labels: Tensor, teacher_logits: Tensor | None) -> Tensor:
        """Leaves the gradient of the whole batch in the parameters; returns its loss, shape `()`."""
        if self._lockstep is not None:
            self._lockstep.begin()
            return self._lockstep.gradient(images, labels, teacher_logits)
        loss = distillation_loss(self._model(images), labels, teacher_logits, self._recipe)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()


def _optimizer(model: nn.Module, recipe: Recipe) -> SGD:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True)


def _schedule(optimizer: SGD, recipe: Recipe, steps: int) -> LRScheduler:
    if recipe.schedule == "cosine":
        return CosineAnnealingLR(optimizer, steps)
    return OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps, cycle_momentum=False)
