"""What stands in for the layers of a dropped branch.

A tensor without channels is awkward in torch and in ONNX. So a dropped tensor has one channel that means nothing, and
the layer that would read it gives a constant. Both look at shapes only: what is left of the branch leaves no trace in
an exported file but that constant.
"""

from functools import partial

import torch
from torch import Tensor, nn


class Placeholder(nn.Module):
    """A layer whose outputs are all gone: one channel of zeros in their place.

    Args:
        stride: One per spatial dimension; empty for a linear layer, whose channels come last.
    """

    def __init__(self, stride: tuple[int, ...]) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, inputs: Tensor) -> Tensor:
        """Maps `[N, C, ...]` to `[N, 1, ...]`, with the layer's stride."""
        return inputs.new_zeros(_shape(inputs, 1, self.stride))


class Constant(nn.Module):
    """A layer whose inputs are all gone: each output is its bias everywhere.

    Args:
        outputs: Channels that it makes.
        stride: One per spatial dimension; empty for a linear layer, whose channels come last.
    """

    bias: nn.Parameter | None
    """Shape `(outputs,)`; None where the layer had none, which gives zeros."""

    def __init__(self, outputs: int, stride: tuple[int, ...]) -> None:
        super().__init__()
        self.outputs = outputs
        self.stride = stride
        self.register_parameter("bias", None)

    def forward(self, inputs: Tensor) -> Tensor:
        """Maps `[N, C, ...]` to `[N, outputs, ...]`, with the layer's stride."""
        shape = _shape(inputs, self.outputs, self.stride)
        if self.bias is None:
            return inputs.new_zeros(shape)
        # With memory of its own, because networks add their shortcuts in place.
        return self.bias.reshape(-1, *[1] * len(self.stride)).expand(shape).clone()


def fold_norms(model: nn.Module, images: Tensor) -> None:
    """Makes every batch norm that reads a `Constant` a constant itself, for inference; `model` is changed.

    Args:
        model: In eval mode.
        images: Run once, to see what reads what; their values do not matter.
    """
    if not any(isinstance(module, Constant) for module in model.modules()):
        return
    for name, constant in _constant_norms(model, images).items():
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, constant)


def _constant_norms(model: nn.Module, images: Tensor) -> dict[str, Constant]:
    """What each batch norm gives that reads nothing but constants; path -> constant."""
    constants: dict[int, Tensor] = {}  # kept alive, so that no other tensor gets their identity
    found: dict[str, Constant | None] = {}

    def note(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, Constant):
            constants[id(output)] = output
        elif id(inputs[0]) in constants and found.get(name, True):
            found[name] = _as_constant(output)
        else:
            found[name] = None

    hooks = [
        module.register_forward_hook(partial(note, name))
        for name, module in model.named_modules()
        if isinstance(module, Constant | nn.BatchNorm2d)
    ]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    return {name: constant for name, constant in found.items() if constant is not None}


def _as_constant(maps: Tensor) -> Constant | None:
    """The constant that gives `maps`; None where they are not the same at every position."""
    if not torch.equal(maps, maps[:1, :, :1, :1].expand(maps.shape)):
        return None
    constant = Constant(maps.shape[1], (1, 1))
    constant.bias = nn.Parameter(maps[0, :, 0, 0].clone())
    return constant


def _shape(inputs: Tensor, channels: int, stride: tuple[int, ...]) -> tuple[int, ...]:
    """The output shape of a layer that pads its maps so that only the stride makes them smaller."""
    if not stride:
        return (*inputs.shape[:-1], channels)
    sizes = [-(-size // step) for size, step in zip(inputs.shape[2:], stride, strict=True)]
    return (inputs.shape[0], channels, *sizes)
