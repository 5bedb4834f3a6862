"""Batch norm over the images of all processes, in networks as they are: their own modules and calls stay."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.overrides import TorchFunctionMode

from automl.training.team import Team


class WholeBatchNorms(TorchFunctionMode):
    """Within it, batch norms that use their batch's statistics use those of the whole batch, and keep these too.

    Torch's own `SyncBatchNorm` is for GPUs, and replaces modules, of which there are more kinds than it knows.
    """

    def __init__(self, team: Team) -> None:
        """Takes the processes that have the other images."""
        super().__init__()
        self._team = team

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Runs one operator."""
        if function is functional.batch_norm:
            return _batch_norm(self._team, *args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def _batch_norm(
    team: Team,
    inputs: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm` of the whole batch, of which `inputs` is this process's part."""
    if not training:
        return functional.batch_norm(inputs, running_mean, running_var, weight, bias, False, momentum, eps)
    mean, variance, count = _moments(team, inputs.detach())
    if running_mean is not None and running_var is not None:
        running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        running_var.lerp_((variance * count / (count - 1)).to(running_var.dtype), momentum)
    weight = torch.ones_like(mean) if weight is None else weight
    bias = torch.zeros_like(mean) if bias is None else bias
    outputs: Tensor = _Normalised.apply(inputs, weight, bias, mean, variance, count, eps, team)
    return outputs


def _moments(team: Team, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance of each channel, shape `[C]`, and how many values they are of; all of the whole batch."""
    variances, means = torch.var_mean(inputs, _all_but_channels(inputs), correction=0)
    channels = len(means)
    count = means.new_full((1,), inputs.numel() // channels)
    rows = team.rows(torch.cat([means, variances, count]))  # [processes, 2 C + 1]
    means, variances, counts = rows[:, :channels], rows[:, channels:-1], rows[:, -1:]
    shares = counts / counts.sum()
    mean = (shares * means).sum(0)
    # Of deviations, because a mean of squares loses all digits where the mean is far from 0.
    variance = (shares * (variances + (means - mean) ** 2)).sum(0)
    return mean, variance, counts.sum()


class _Normalised(torch.autograd.Function):
    """Normalises with statistics that are those of all inputs of all processes, and so have gradients in each."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        count: Tensor,
        eps: float,
        team: Team,
    ) -> Tensor:
        ctx.save_for_backward(inputs, weight, mean, torch.rsqrt(variance + eps), count)
        ctx.team = team  # type: ignore[attr-defined]
        return functional.batch_norm(inputs, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, mean, scale, count = ctx.saved_tensors
        shape, others = (1, -1, *[1] * (inputs.ndim - 2)), _all_but_channels(inputs)
        normalised = (inputs - mean.view(shape)) * scale.view(shape)
        of_bias, of_weight = gradient.sum(others), (gradient * normalised).sum(others)
        both = ctx.team.summed(torch.cat([of_bias, of_weight])) / count
        lost = both[: len(mean)].view(shape) + normalised * both[len(mean) :].view(shape)
        of_inputs = (gradient - lost) * (weight * scale).view(shape)
        return of_inputs, of_weight, of_bias, None, None, None, None, None


def _all_but_channels(inputs: Tensor) -> list[int]:
    return [dim for dim in range(inputs.ndim) if dim != 1]
