"""Mean and covariance of what each layer reads, from one pass over a few images."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOST_ENTRIES = 2304
"""A covariance has at most this many rows: 42 MB in float64, and a fifth of a second to factorise.

A k x k convolution whose patches have more entries is described by its channels alone, as if its taps were
interchangeable; a linear layer with more inputs is left out.
"""
POSITIONS_PER_IMAGE = 64
"""Patches of a map that count, on a grid with a random offset; neighbours would say the same again."""


@dataclass(frozen=True, slots=True)
class InputStatistics:
    """Second-order statistics of one layer's inputs."""

    mean: Tensor  # [entries], float64
    covariance: Tensor  # [entries, entries], float64
    entries_per_channel: int
    """Entries of each input channel: kernel height x width where whole patches were seen, else 1."""


def input_statistics(
    model: nn.Module, layers: Iterable[str], images: Iterable[Tensor], *, seed: int = 0
) -> Mapping[str, InputStatistics]:
    """Runs `model` in eval mode over `images` and describes what the named layers read.

    Args:
        model: Comes back unchanged.
        layers: Paths of `nn.Conv2d` with one group and `nn.Linear` modules; others are left out.
        images: Batches on the model's device.
        seed: Chooses the positions.
    """
    sums: dict[str, _Sums] = {}
    modules = dict(model.named_modules())
    generator = torch.Generator().manual_seed(seed)
    hooks = []
    for name in layers:
        module = modules.get(name)
        if isinstance(module, nn.Conv2d | nn.Linear) and _describable(module):
            sums[name] = _Sums(module, generator)
            hooks.append(module.register_forward_pre_hook(sums[name].see))
    flags = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            for batch in images:
                model(batch)
    finally:
        for hook in hooks:
            hook.remove()
        for module, flag in flags.items():
            module.training = flag
    return {name: each.statistics() for name, each in sums.items() if each.rows}


def _describable(module: nn.Conv2d | nn.Linear) -> bool:
    if isinstance(module, nn.Linear):
        return module.in_features <= MOST_ENTRIES
    return module.groups == 1 and module.in_channels <= MOST_ENTRIES and module.padding_mode == "zeros"


class _Sums:
    """Sums over the rows that one layer has read so far."""

    def __init__(self, module: nn.Conv2d | nn.Linear, generator: torch.Generator) -> None:
        self._module, self._generator = module, generator
        self.rows = 0
        self._total = torch.zeros(0)
        self._products = torch.zeros(0)
        taps = 1 if isinstance(module, nn.Linear) else math.prod(module.kernel_size)
        channels = module.in_features if isinstance(module, nn.Linear) else module.in_channels
        self._taps = taps if taps * channels <= MOST_ENTRIES else 1

    def see(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """The forward pre-hook: adds the rows of one batch."""
        rows = self._rows(inputs[0].detach())
        if not self.rows:
            size = rows.shape[1]
            self._total = torch.zeros(size, dtype=torch.float64, device=rows.device)
            self._products = torch.zeros(size, size, dtype=torch.float64, device=rows.device)
        self.rows += len(rows)
        self._total += rows.sum(dim=0, dtype=torch.float64)
        self._products += rows.T @ rows

    def statistics(self) -> InputStatistics:
        """What was seen, on the CPU."""
        mean = self._total / self.rows
        covariance = self._products / self.rows - torch.outer(mean, mean)
        return InputStatistics(mean.cpu(), covariance.cpu(), self._taps)

    def _rows(self, values: Tensor) -> Tensor:
        """One row per position that counts, of shape `(rows, entries)`, each channel's entries together."""
        module = self._module
        if isinstance(module, nn.Linear):
            return values.reshape(-1, values.shape[-1])
        kernel, stride = module.kernel_size, module.stride
        step = [
            side * max(1, math.ceil(size / side / math.sqrt(POSITIONS_PER_IMAGE)))
            for side, size in zip(stride, values.shape[2:], strict=True)
        ]
        start = [
            int(torch.randint(each // side, (1,), generator=self._generator)) * side
            for each, side in zip(step, stride, strict=True)
        ]
        if self._taps == 1:
            return (
                values[:, :, start[0] :: step[0], start[1] :: step[1]].permute(0, 2, 3, 1).reshape(-1, values.shape[1])
            )
        padding = module._reversed_padding_repeated_twice
        padded = F.pad(values, padding)[:, :, start[0] :, start[1] :]
        patches = F.unfold(padded, kernel, dilation=module.dilation, stride=(step[0], step[1]))
        return patches.transpose(1, 2).reshape(-1, patches.shape[1])
