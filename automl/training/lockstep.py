"""The steps of a training in several processes: the leader has the optimizer, all of them make the gradient."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from automl.training.distillation import distillation_loss
from automl.training.recipe import Recipe
from automl.training.team import Team
from automl.training.whole_batch import WholeBatchNorms


class Lockstep:
    """One network that a team trains.

    With each step every process takes over the leader's weights and buffers; so the others need no optimizer, no
    schedule and no checkpoint, and nobody drifts. It costs as much as sending the summed gradient back would.

    Args:
        team: The processes.
        model: Of the same structure in each, in train mode, on the team's device.
        recipe: How it is trained.
        images: In a whole batch; at least as many as there are processes.
    """

    def __init__(self, team: Team, model: nn.Module, recipe: Recipe, images: int) -> None:
        self.team = team
        self._model, self._recipe, self._images = model, recipe, images
        self._amid = False

    def meet(self, teacher: nn.Module | None, epoch: int = 0) -> int:
        """Gives all of them the leader's networks; returns the epoch, counted from 0, in which the leader begins.

        Raises:
            LostProcessError: If one of them has ended.
        """
        self.team.take_over(self._model)
        if teacher is not None:
            self.team.take_over(teacher)
        return int(self.team.led(torch.tensor(epoch, device=self.team.device)))

    @contextmanager
    def leading(self, teacher: nn.Module | None, epoch: int) -> Iterator[None]:
        """Leads the others for as long as the body runs, however it ends; raises what `meet` raises."""
        self.meet(teacher, epoch)
        try:
            yield
        finally:
            if not self._amid:  # else they expect a gradient, and notice that this process has ended
                self._led(goes_on=False)

    def begin(self) -> bool:
        """Begins a step with the leader's weights; False where the leader has ended the training instead.

        Raises:
            LostProcessError: If one of them has ended.
        """
        self._amid = True
        return self._led(goes_on=True)

    def gradient(self, images: Tensor, labels: Tensor, teacher_logits: Tensor | None) -> Tensor:
        """Leaves the gradient of the whole batch's mean loss in the parameters, which have none before.

        Args:
            images: This process's part of the batch, `[N, C, H, W]`.
            labels: Of these, `[N]`.
            teacher_logits: Of these, `[N, classes]`; None to learn from the labels alone.

        Returns:
            The mean loss of the whole batch, shape `()`.

        Raises:
            LostProcessError: If another process has ended.
        """
        with WholeBatchNorms(self.team):
            loss = distillation_loss(self._model(images), labels, teacher_logits, self._recipe)
        loss = loss * (len(images) / self._images)
        loss.backward()  # type: ignore[no-untyped-call]
        whole = self._summed(loss.detach())
        self._amid = False
        return whole

    def _led(self, goes_on: bool) -> bool:
        """What the leader says; weights and buffers become the leader's."""
        # Floating ones: others count, or say where something is.
        state = [x for x in (*self._model.parameters(), *self._model.buffers()) if x.is_floating_point()]
        head = torch.tensor([float(goes_on)], device=self.team.device)
        values = self.team.led(torch.cat([head, *(tensor.detach().reshape(-1) for tensor in state)]))
        if self.team.rank > 0:
            with torch.no_grad():
                for tensor, value in zip(state, _parts(values[1:], state), strict=True):
                    tensor.copy_(value)
        self.team.parting = not values[0]
        return not self.team.parting

    def _summed(self, loss: Tensor) -> Tensor:
        """Sums the gradients over all processes; returns the sum of the losses."""
        trained = [parameter for parameter in self._model.parameters() if parameter.requires_grad]
        gradients = [torch.zeros_like(x) if x.grad is None else x.grad for x in trained]
        values = self.team.summed(torch.cat([loss.reshape(1), *(gradient.reshape(-1) for gradient in gradients)]))
        for parameter, whole in zip(trained, _parts(values[1:], trained), strict=True):
            if parameter.grad is not None:
                parameter.grad.copy_(whole)
            elif whole.any():  # what no image reaches has no gradient, not one of 0, by which its weights would decay
                parameter.grad = whole.clone()
        return values[0]


def _parts(values: Tensor, tensors: list[nn.Parameter] | list[Tensor]) -> list[Tensor]:
    """`values`, one tensor after the other, in the shapes of `tensors`."""
    parts = torch.split(values, [tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape).to(tensor.dtype) for part, tensor in zip(parts, tensors, strict=True)]
