"""Sequential recovery: every layer is fitted to the dense layer's outputs on what it really reads now.

`reconstruction` fits each layer alone, on the dense network's inputs, so that its solutions can be kept for every
policy; errors of the layers in front are not seen. Here one forward pass of the compressed network stops at each layer,
solves its least squares on the inputs that have arrived (the asymmetric form of He et al. 2017, section 3.3), and goes
on with the new weights. That is one pass per policy, which finalists are worth.

A batch norm keeps its distance from the dense one: its statistics move by what the layer in front of it now returns
less, or other than, the dense layer on the same images. Statistics measured anew would do the same where the images
are those that the network was trained on, and harm where they are not: an ImageNet MobileNetV2 loses half of its own
answers when its batch norms are measured on crops of a few photos.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from automl.compress.batch_norm import NormFinder, correct
from automl.compress.gram import gram
from automl.compress.patches import grid_start, grid_step, patches
from automl.compress.statistics import MOST_ENTRIES
from automl.compress.surgery import KeptChannels, kept_entries
from automl.tracing.channel_map import TracedModel

RIDGE = 1e-2
"""Draws the weights towards those that the layer has already, relative to the mean variance of its inputs, at least."""
_SHRINKAGE = 3.0
"""The ridge is at least so many times the unknowns per row: a layer with few rows would learn the images by heart."""
MOST_BYTES = 2**30
"""The largest activation of the pass takes at most this much; fewer images are used where it would take more."""


_LEAST_VARIANCE = 1e-12


@dataclass(frozen=True, slots=True)
class _Target:
    """What a layer of the dense network returned."""

    rows: Tensor
    """Shape `(places, outputs)`."""
    mean: Tensor
    """Shape `(outputs,)`."""
    variance: Tensor
    """Shape `(outputs,)`."""
    step: tuple[int, int]
    """Every so many rows and columns of the output map, from the middle of the first step on: borders, which are
    padded, would count too much otherwise. (1, 1) for a linear layer."""

    @classmethod
    def of(cls, layer: nn.Module, output: Tensor, step: tuple[int, int]) -> "_Target":
        rows = _places(layer, output, step).clone()
        variance, mean = torch.var_mean(rows, dim=0)
        return cls(rows, mean, variance, step)

    def sliced(self, outputs: Tensor) -> "_Target":
        return _Target(self.rows.index_select(1, outputs), self.mean[outputs], self.variance[outputs], self.step)


@dataclass(frozen=True, slots=True)
class _Norm:
    """The dense statistics of the batch norm that reads exactly what a layer returns."""

    name: str
    mean: Tensor
    variance: Tensor

    def sliced(self, outputs: Tensor) -> "_Norm":
        return _Norm(self.name, self.mean[outputs], self.variance[outputs])


class SequentialRecovery:
    """Fits compressed networks to one dense network, on fixed images."""

    def __init__(self, model: nn.Module, traced: TracedModel, images: Tensor) -> None:
        """Runs the dense network once and keeps what its layers return.

        Args:
            model: In eval mode; comes back unchanged.
            traced: What tracing knows of it.
            images: Shape `(N, C, H, W)`, on the model's device. They run as one batch, so only so many are used as
                `MOST_BYTES` allows.
        """
        self._images, self._traced = images[: _affordable(model, images[:2])], traced
        modules = dict(model.named_modules())
        called: dict[str, list[_Target]] = {}
        hooks = []
        for layer in traced.graph.layers:
            module = modules[layer.name]
            if isinstance(module, nn.Conv2d | nn.Linear):
                calls = called[layer.name] = []
                hooks.append(
                    module.register_forward_hook(_recorder(calls, grid_step(module, layer.out_size, len(self._images))))
                )
        finder = NormFinder(modules, called)
        with _evaluated(model, hooks), finder.watching():
            model(self._images)
        # One that is called more than once cannot be fitted call by call.
        self._targets = {name: calls[0] for name, calls in called.items() if len(calls) == 1}
        self._norms = {
            name: _Norm(norm, *(modules[norm].get_buffer(f"running_{each}").clone() for each in ("mean", "var")))
            for name, norm in finder.found().items()
        }

    def apply(self, smaller: nn.Module, kept: KeptChannels) -> None:
        """Fits `smaller`, the network sliced to `kept`, in one pass.

        Args:
            smaller: Holds its own copy of every parameter (`own_memory`); weights are written in place.
            kept: Channels kept of each group.
        """
        entries = kept_entries(self._traced.channel_map, kept)
        hooks = []
        for name, target in self._targets.items():
            module = smaller.get_submodule(name)
            if not isinstance(module, nn.Conv2d | nn.Linear):
                continue  # dropped
            outputs = entries.get((f"{name}.weight", 0))
            wanted = target if outputs is None else target.sliced(torch.from_numpy(outputs))
            if _solvable(module):
                hooks.append(module.register_forward_pre_hook(_fitter(wanted)))
            norm = self._norms.get(name)
            if norm is not None:
                smaller_norm = smaller.get_submodule(norm.name)
                sliced = norm if outputs is None else norm.sliced(torch.from_numpy(outputs))
                hooks.append(module.register_forward_hook(_corrector(smaller_norm, sliced, wanted)))
        with _evaluated(smaller, hooks):
            smaller(self._images)


def _affordable(model: nn.Module, images: Tensor) -> int:
    """Images whose largest activation fits in `MOST_BYTES`, at least two; two of them are run to know."""
    largest = images.nbytes

    def see(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        nonlocal largest
        largest = max(largest, output.nbytes if isinstance(output, Tensor) else 0)

    with _evaluated(model, [module.register_forward_hook(see) for module in model.modules()]):
        model(images)
    return max(2, int(MOST_BYTES / largest * len(images)))


def _solvable(module: nn.Conv2d | nn.Linear) -> bool:
    if isinstance(module, nn.Linear):
        return module.in_features <= MOST_ENTRIES
    depthwise = module.groups == module.in_channels == module.out_channels
    fits = module.groups == 1 and module.in_channels * math.prod(module.kernel_size) <= MOST_ENTRIES
    return module.padding_mode == "zeros" and (depthwise or fits)


def _places(layer: nn.Module, output: Tensor, step: tuple[int, int]) -> Tensor:
    """What a layer returned at the places that count, of shape `(places, outputs)`; linear layers make them last."""
    if isinstance(layer, nn.Conv2d):
        (down, right), (first, second) = step, grid_start(step)
        output = output[:, :, first::down, second::right].permute(0, 2, 3, 1)
    return output.reshape(-1, output.shape[-1])


def _recorder(calls: list[_Target], step: tuple[int, int]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls.append(_Target.of(module, output, step))

    return record


def _corrector(
    norm: nn.Module, dense: _Norm, wanted: _Target
) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def move(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if not isinstance(norm, _BatchNorm) or norm.running_mean is None or norm.running_var is None:
            return  # it went with its channels
        variance, mean = torch.var_mean(_places(module, output, wanted.step), dim=0)
        norm.running_mean.copy_(dense.mean)
        norm.running_var.copy_(dense.variance)
        correct(norm, wanted.mean - mean, variance / wanted.variance.clamp_min(_LEAST_VARIANCE))

    return move


def _fitter(wanted: _Target) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def fit(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(module, nn.Conv2d):
            _fit_convolution(module, inputs[0], wanted)
        elif isinstance(module, nn.Linear):
            values = inputs[0].reshape(-1, inputs[0].shape[-1])
            _write(module, *_solved(values[None], wanted.rows[None], wanted.mean[None], module.weight[None]))

    return fit


def _fit_convolution(module: nn.Conv2d, values: Tensor, wanted: _Target) -> None:
    groups = module.groups
    inputs = patches(module, values, wanted.step)
    targets = wanted.rows.reshape(len(wanted.rows), groups, -1).permute(1, 0, 2)
    weight = module.weight.reshape(groups, len(module.weight) // groups, -1)
    _write(module, *_solved(inputs, targets, wanted.mean.reshape(groups, -1), weight))


def _solved(inputs: Tensor, targets: Tensor, wanted: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Ridge regressions of shape `(problems, outputs, entries)` and their intercepts `(problems, outputs)`.

    Args:
        inputs: Shape `(problems, rows, entries)`.
        targets: Shape `(problems, rows, outputs)`.
        wanted: Their means, shape `(problems, outputs)`.
        weight: What the ridge draws towards, shape `(problems, outputs, entries)`.
    """
    mean = inputs.mean(dim=1, keepdim=True)
    centred = inputs - mean
    covariance = (torch.stack([gram(each) for each in centred]) / inputs.shape[1]).double()
    # The targets need not be centred as well: what sums to zero does not see a constant.
    product = (centred.mT @ targets / inputs.shape[1]).double()
    diagonal = covariance.diagonal(dim1=1, dim2=2)
    # What never changes has no variance: the smallest ridge keeps such a problem solvable.
    relative = max(RIDGE, _SHRINKAGE * inputs.shape[2] / inputs.shape[1])
    ridge = (relative * diagonal.mean(dim=1)).clamp_min(_LEAST_VARIANCE)
    diagonal.add_(ridge[:, None])
    solved = torch.linalg.solve(covariance, product + ridge[:, None, None] * weight.mT.double()).mT
    intercept = wanted.double() - (solved @ mean.mT.double())[..., 0]
    return solved, intercept


def _write(module: nn.Conv2d | nn.Linear, weight: Tensor, intercept: Tensor) -> None:
    module.weight.data.copy_(weight.reshape(module.weight.shape))
    if module.bias is not None:
        module.bias.data.copy_(intercept.flatten())


@contextmanager
def _evaluated(model: nn.Module, hooks: list[torch.utils.hooks.RemovableHandle]) -> Iterator[None]:
    """Eval mode without gradients; flags and hooks are put back."""
    flags: Mapping[nn.Module, bool] = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for hook in hooks:
            hook.remove()
        for module, flag in flags.items():
            module.training = flag
