"""Batch-norm statistics, measured again after the network in front of them has changed."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from automl.core.errors import DataError


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
