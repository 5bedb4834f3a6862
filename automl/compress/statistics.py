"""Mean and covariance of what each layer reads, from one pass over a few images; everything else follows from them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl.compress.batch_norm import NormFinder
from automl.compress.gram import gram
from automl.core.errors import SearchError
from automl.tracing.channel_map import TracedModel

MOST_ENTRIES = 2304
"""A covariance has at most this many rows: 42.5 MB in float64, and a fifth of a second to factorise.

A k x k convolution whose patches have more entries is described by its channels alone, as if its taps were
interchangeable; a linear layer with more inputs is left out.
"""
POSITIONS_PER_IMAGE = 64
"""Patches of a map that count, on a grid with a random offset; neighbours would say the same again."""


@dataclass(frozen=True, slots=True)
class InputStatistics:
    """Second-order statistics of one layer's inputs."""

    mean: Tensor
    """Shape `(entries,)`, float64."""
    covariance: Tensor
    """Shape `(entries, entries)`, float64.

    For a layer with neither a bias nor a batch norm behind it this is the second moment, and the mean is zero: nothing
    could make up for a lost mean there.
    """
    entries_per_channel: int
    """Entries of each input channel: kernel height x width where whole patches were seen, else 1."""
    rows: int
    """Patches that were seen."""


@dataclass(frozen=True, slots=True)
class NetworkStatistics:
    """What one pass over the calibration images says of a network."""

    layers: Mapping[str, InputStatistics]
    """Of each layer that reads removable channels and can be described."""
    norms: Mapping[str, str]
    """Layer -> the batch norm that reads exactly what the layer returns."""
    notes: tuple[str, ...]
    """Sentences about the layers that are described in part or not at all."""


def input_statistics(
    model: nn.Module, traced: TracedModel, images: Iterable[Tensor], *, seed: int = 0
) -> NetworkStatistics:
    """Runs `model` once in eval mode over `images` and describes what its layers read.

    Described are convolutions with one group and linear layers that read removable channels, each by the rows that
    it multiplies with its weights.

    Args:
        model: Comes back unchanged.
        traced: What tracing knows of it.
        images: Batches on the model's device; 128 images are enough for most layers.
        seed: Chooses the positions.

    Raises:
        SearchError: If a layer reads values that are not finite.
    """
    modules = dict(model.named_modules())
    readers = [layer.name for layer in traced.graph.layers if (f"{layer.name}.weight", 1) in traced.channel_map.units]
    generator = torch.Generator().manual_seed(seed)
    sums = {
        name: _Sums(module, generator)
        for name in readers
        if isinstance(module := modules.get(name), nn.Conv2d | nn.Linear) and _describable(module)
    }
    finder = NormFinder(modules, readers)
    hooks = [modules[name].register_forward_pre_hook(each.see) for name, each in sums.items()]
    flags = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad(), finder.watching():
            for batch in images:
                model(batch)
    finally:
        for hook in hooks:
            hook.remove()
        for module, flag in flags.items():
            module.training = flag
    norms = finder.found()
    layers = {
        name: each.statistics(centred=name in norms or modules[name].bias is not None)
        for name, each in sums.items()
        if each.rows
    }
    for name, each in layers.items():
        if not bool(torch.isfinite(each.covariance).all()):
            raise SearchError(
                f"Activations must be finite, but {name!r} of the dense network reads NaN or infinity on the "
                "calibration images. Check its weights, and that the images are scaled as it expects."
            )
    return NetworkStatistics(layers, norms, tuple(_notes(modules, readers, layers)))


def as_matrix(weight: Tensor, entries_per_channel: int) -> Tensor:
    """A layer's weight as `(rows, entries)`, float64 on the CPU.

    Outputs are rows; where the taps are not among the entries, each output has a row per tap.
    """
    values = weight.detach().cpu().double()
    if entries_per_channel > 1 or values.ndim == 2:
        return values.flatten(1)
    return values.permute(0, 2, 3, 1).flatten(0, 2)


def as_weight(matrix: Tensor, entries_per_channel: int, kernel: Sequence[int]) -> Tensor:
    """The way back, for a layer with that kernel, `()` for a linear one; there may be fewer channels."""
    if entries_per_channel > 1 or not kernel:
        return matrix.reshape(len(matrix), matrix.shape[1] // entries_per_channel, *kernel)
    outputs = len(matrix) // math.prod(kernel)
    return matrix.reshape(outputs, *kernel, matrix.shape[1]).permute(0, 3, 1, 2)


def named(layers: Sequence[str]) -> str:
    """A few layers by name, many by the first three and a number."""
    if len(layers) <= 4:
        return ", ".join(layers)
    return f"{', '.join(layers[:3])} and {len(layers) - 3} more"


def _notes(
    modules: Mapping[str, nn.Module], readers: Sequence[str], layers: Mapping[str, InputStatistics]
) -> Iterable[str]:
    bound = f"{MOST_ENTRIES**2 * 8 / 1e6:.1f} MB"
    in_part = [name for name, each in layers.items() if each.entries_per_channel < _taps(modules[name])]
    if in_part:
        yield (
            f"Described by their channels alone, because the covariance of whole patches would pass {bound} a layer: "
            f"{named(in_part)}."
        )
    left_out = [name for name in readers if name not in layers]
    if left_out:
        yield (
            f"Not recovered, because a layer is grouped, unusually padded, never run as a module, or its covariance "
            f"would pass {bound}: {named(left_out)}."
        )


def _describable(module: nn.Conv2d | nn.Linear) -> bool:
    if isinstance(module, nn.Linear):
        return module.in_features <= MOST_ENTRIES
    return module.groups == 1 and module.in_channels <= MOST_ENTRIES and module.padding_mode == "zeros"


def _taps(module: nn.Module) -> int:
    return math.prod(module.kernel_size) if isinstance(module, nn.Conv2d) else 1


class _Sums:
    """Sums over the rows that one layer has read so far."""

    def __init__(self, module: nn.Conv2d | nn.Linear, generator: torch.Generator) -> None:
        self._module, self._generator = module, generator
        self.rows = 0
        self._total = torch.zeros(0)
        self._products = torch.zeros(0)
        channels = module.in_features if isinstance(module, nn.Linear) else module.in_channels
        self._taps = _taps(module) if _taps(module) * channels <= MOST_ENTRIES else 1

    def see(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """The forward pre-hook: adds the rows of one batch."""
        rows = self._rows(inputs[0].detach()).double()
        if not self.rows:
            size = rows.shape[1]
            self._total = rows.new_zeros(size)
            self._products = rows.new_zeros(size, size)
        self.rows += len(rows)
        self._total += rows.sum(dim=0)
        self._products += gram(rows)

    def statistics(self, *, centred: bool) -> InputStatistics:
        """What was seen, on the CPU."""
        mean = self._total / self.rows if centred else torch.zeros_like(self._total)
        covariance = (self._products / self.rows).addr_(mean, mean, alpha=-1)
        return InputStatistics(mean.cpu(), covariance.cpu(), self._taps, self.rows)

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
