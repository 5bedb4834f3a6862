"""Batch-norm statistics, corrected or measured again after the network in front of them has changed."""

import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from automl.core.errors import DataError

_LEAST_RATIO = 0.01
"""A variance shrinks to no less than this share; a smaller one would blow up what is mostly noise."""
_MOST_RATIO = 10.0
"""And grows to no more than so many times."""


def correct(norm: _BatchNorm, shift: Tensor | None, ratio: Tensor) -> None:
    """Adjusts running statistics in closed form to a layer in front that has been recovered.

    Args:
        norm: Gets new buffers.
        shift: What the layer's mean outputs have lost, shape `(channels,)`; None where its bias has made up for it.
        ratio: Variance of its outputs, relative to the dense ones, shape `(channels,)`; bounded
            to a sane range.
    """
    mean, variance = norm._buffers["running_mean"], norm._buffers["running_var"]
    if shift is not None and mean is not None:
        norm._buffers["running_mean"] = mean - shift
    if variance is not None:
        norm._buffers["running_var"] = variance * ratio.clamp(_LEAST_RATIO, _MOST_RATIO)


def recalibrate(model: nn.Module, images: Iterable[Tensor]) -> None:
    """Estimates every batch norm's running mean and variance anew, as averages over `images`.

    Each batch counts by its number of images. The mean is that of all the images together; the variance is the
    mean of the variances within the batches, so larger batches come closer to that of all the images. Nothing
    else of the network changes, and a network without batch norm is not even run.

    Args:
        model: On the device where it shall run; train and eval flags are as before afterwards.
        images: Batches of shape `[N, C, H, W]`. One with a single image is skipped, as batch norm cannot
            normalise a single value.

    Raises:
        DataError: If no batch has two images.
    """
    # `torch.optim.swa_utils.update_bn` would put the whole network in training mode, dropout included.
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    if not layers:
        return
    device = next(layers[0].buffers()).device
    seen = 0
    with _measuring(model, layers), torch.no_grad():
        for batch in images:
            if len(batch) < 2:
                continue
            if seen == 0:
                # The weighted average below multiplies the old values by 0, which does not remove a NaN.
                _forget(layers)
            seen += len(batch)
            for layer in layers:
                layer.momentum = len(batch) / seen
            model(batch.to(device))
    if seen == 0:
        raise DataError("Batch norm needs a calibration batch of at least 2 images, but got none. Give more images.")


class NormFinder:
    """Watches a running network and finds the batch norm that normalises exactly what a layer returns."""

    def __init__(self, modules: Mapping[str, nn.Module], layers: Iterable[str]) -> None:
        """Takes the network's modules by name, and the names of the layers in question."""
        self._layers = {name: modules[name] for name in layers if name in modules}
        self._norms = {
            name: module
            for name, module in modules.items()
            if isinstance(module, _BatchNorm) and module.running_mean is not None
        }
        self._last: dict[int, tuple[str, weakref.ref[Tensor]]] = {}
        self._readers: defaultdict[str, set[str]] = defaultdict(set)
        self._sources: defaultdict[str, set[str]] = defaultdict(set)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watches every forward pass inside the block."""
        hooks = [module.register_forward_hook(self._returned(name)) for name, module in self._layers.items()]
        hooks += [module.register_forward_pre_hook(self._read(name)) for name, module in self._norms.items()]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def found(self) -> dict[str, str]:
        """Layer -> its batch norm, where neither has any other partner."""
        return {
            layer: next(iter(norms))
            for layer, norms in self._readers.items()
            if len(norms) == 1 and self._sources[next(iter(norms))] == {layer}
        }

    def _returned(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            self._last[id(output)] = name, weakref.ref(output)

        return hook

    def _read(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            source, output = self._last.get(id(inputs[0]), ("", None))
            if output is None or output() is not inputs[0]:  # an id may come back once its tensor has gone
                self._sources[name].add("")
                return
            self._sources[name].add(source)
            self._readers[source].add(name)

        return hook


@contextmanager
def _measuring(model: nn.Module, layers: list[_BatchNorm]) -> Iterator[None]:
    """Puts the batch norms in training mode and all else in eval mode, and puts both back afterwards."""
    training = {module: module.training for module in model.modules()}
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.training = True  # not `train()`, which would reach the dropout that timm keeps inside its batch norm
    try:
        yield
    finally:
        for module, flag in training.items():
            module.training = flag
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def _forget(layers: list[_BatchNorm]) -> None:
    for layer in layers:
        layer.reset_running_stats()
