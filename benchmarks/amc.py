"""AMC's way of evaluating a policy, written anew after mit-han-lab/amc at commit 65363c8: the baseline to beat.

Once: the dense network runs over 60 batches of 50 images, and of every convolution 10 random places per batch are
kept, as pairs of what it read and what it gave there; of a linear layer every image is kept. For each policy: every
layer that loses inputs is fitted to its pairs by scikit-learn's `LinearRegression(fit_intercept=False)`, and the
network of full size, with zeros for what is removed, is measured. Batch norms stay as they are.

Kept as released: the samples are always the dense network's; there is no intercept, and the bias of a layer that has
one is in the targets and in the network as well. Changed: AMC knows 1 x 1 convolutions and linear layers only; larger
kernels are fitted on whole patches here (im2col, as its re-implementation in Distiller does). Which channels stay is
the caller's choice, so that both ways are measured with the same ones.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression
from torch import Tensor, nn
from torch.func import functional_call

from automl.compress.surgery import KeptChannels, kept_entries
from automl.tracing.channel_map import TracedModel

BATCHES, BATCH_SIZE, POINTS = 60, 50, 10
"""AMC's defaults: 30,000 rows per convolution and 3,000 per linear layer."""


@dataclass(frozen=True, slots=True)
class MaskedWeights:
    """What one policy makes of the full-size network."""

    weights: Mapping[str, Tensor]
    """Parameter name -> weight of the dense shape, zero where removed channels are read."""
    seconds: float
    """Time of all least squares."""


class AmcEvaluator:
    """Recovers and measures policies as AMC does in each episode."""

    def __init__(
        self, model: nn.Module, traced: TracedModel, batches: Iterable[Tensor], *, points: int = POINTS, seed: int = 0
    ) -> None:
        """Runs the dense network over the batches and keeps the samples in memory.

        Args:
            model: The dense network on the CPU, in eval mode; it is not changed.
            traced: What tracing knows of it.
            batches: Images of shape `(N, C, H, W)`; AMC takes 60 batches of 50.
            points: Places per batch, the same ones in all its images.
            seed: Chooses the places.
        """
        self._model, self._traced = model, traced
        generator = np.random.default_rng(seed)
        units = traced.channel_map.units
        self._samples: dict[str, _Samples] = {}
        hooks = []
        for layer in traced.graph.layers:
            module = model.get_submodule(layer.name)
            grouped = isinstance(module, nn.Conv2d) and module.groups > 1
            if (f"{layer.name}.weight", 1) in units and isinstance(module, nn.Conv2d | nn.Linear) and not grouped:
                samples = self._samples[layer.name] = _Samples(points, generator)
                hooks.append(module.register_forward_hook(samples.see))
        with torch.no_grad():
            for batch in batches:
                model(batch)
        for hook in hooks:
            hook.remove()
        for samples in self._samples.values():
            samples.close()

    @property
    def sample_bytes(self) -> int:
        """Memory that all samples take."""
        return sum(samples.inputs.nbytes + samples.outputs.nbytes for samples in self._samples.values())

    def inputs(self) -> Mapping[str, NDArray[np.float32]]:
        """What each layer read, of shape `(rows, entries)`."""
        return {name: samples.inputs for name, samples in self._samples.items()}

    def recover(self, kept: KeptChannels) -> MaskedWeights:
        """One least-squares fit per layer that loses inputs."""
        started = time.perf_counter()
        entries = kept_entries(self._traced.channel_map, kept)
        weights: dict[str, Tensor] = {}
        for name, samples in self._samples.items():
            channels = entries.get((f"{name}.weight", 1))
            if channels is not None:
                dense = self._model.get_parameter(f"{name}.weight").detach()
                weights[f"{name}.weight"] = samples.fitted(dense, channels)
        return MaskedWeights(weights, time.perf_counter() - started)

    def evaluate(self, weights: Mapping[str, Tensor], batches: Iterable[Tensor]) -> Tensor:
        """Logits of the masked network of full size on every image."""
        with torch.no_grad():
            return torch.cat([functional_call(self._model, dict(weights), (batch,)) for batch in batches])


class _Samples:
    """Pairs of what one layer read and gave."""

    inputs: NDArray[np.float32]
    """Shape `(rows, entries)`, each channel's taps together."""
    outputs: NDArray[np.float32]
    """Shape `(rows, outputs)`."""

    def __init__(self, points: int, generator: np.random.Generator) -> None:
        self._points, self._generator = points, generator
        self._read: list[Tensor] = []
        self._gave: list[Tensor] = []

    def see(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """The forward hook: keeps some rows of one batch."""
        if not isinstance(module, nn.Conv2d):
            self._read.append(inputs[0].flatten(0, -2).clone())
            self._gave.append(output.flatten(0, -2).clone())
            return
        padded = F.pad(inputs[0], module._reversed_padding_repeated_twice)
        reach = [step * (size - 1) + 1 for step, size in zip(module.dilation, module.kernel_size, strict=True)]
        for _ in range(self._points):
            place = [int(self._generator.integers(size)) for size in output.shape[2:]]
            down, right = (
                slice(at * stride, at * stride + length, step)
                for at, stride, length, step in zip(place, module.stride, reach, module.dilation, strict=True)
            )
            self._read.append(padded[:, :, down, right].flatten(1).clone())
            self._gave.append(output[:, :, place[0], place[1]].clone())

    def close(self) -> None:
        """Makes one matrix of all rows."""
        self.inputs, self.outputs = torch.cat(self._read).numpy(), torch.cat(self._gave).numpy()
        self._read, self._gave = [], []

    def fitted(self, dense: Tensor, channels: NDArray[np.int64]) -> Tensor:
        """The weight of the dense shape that reads these input channels only."""
        taps = dense[0, 0].numel()
        columns = (channels[:, None] * taps + np.arange(taps)).reshape(-1)
        regression = LinearRegression(fit_intercept=False)  # type: ignore[no-untyped-call]
        fit = regression.fit(self.inputs[:, columns], self.outputs)
        weight = torch.zeros_like(dense).flatten(1)
        weight[:, torch.from_numpy(columns)] = torch.from_numpy(fit.coef_).to(dense.dtype)
        return weight.reshape(dense.shape)
