"""Whether the ONNX file computes what the network computes."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.core.errors import DataError, ExportError
from automl.export.session import OnnxClassifier

TOLERANCE = 1e-3
"""The largest difference of two logits that passes for rounding."""
LEAST_AGREEMENT = 0.995
"""Share of images whose class a quantized file must share with torch, unless the network itself is not so steady."""
UNREST = 1e-4
"""Standard deviation of the noise by which steadiness is judged: a hundredth of a grey level of normalized images."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How far two implementations of one network are apart."""

    max_abs_difference: float
    """Over all logits of all images."""
    same_top1: float
    """Share of images in [0, 1] that both give the same class."""
    images: int
    """Images compared."""
    disputed: int
    """Images of different class although torch's best two logits are more than the tolerance apart."""
    mean_abs_difference: float
    """Over all logits of all images."""


def parity(model: nn.Module, path: Path, batches: Iterable[Tensor], *, threads: int = 1) -> Parity:
    """Runs `model` in torch and the file in ONNX Runtime on the same images.

    Args:
        model: Run in eval mode where it is; its flags are as before afterwards.
        path: What `export_onnx` or `export_quantized` wrote from it.
        batches: Images `[N, C, H, W]`.
        threads: CPU threads of ONNX Runtime.

    Raises:
        DataError: If there is no image.
        InputError: If the file cannot be run.
    """
    return _compared(model, OnnxClassifier(path, threads=threads).logits, batches)


def unrest(model: nn.Module, batches: Iterable[Tensor]) -> Parity:
    """Runs `model` twice in torch, the second time with noise of `UNREST` on the images.

    Between quantizers a value may fall to either side of the middle of two levels, and moves all behind it: a network
    that is hardly sure of anything then answers otherwise, in whatever runtime.

    Args:
        model: Run in eval mode where it is; its flags are as before afterwards.
        batches: Images `[N, C, H, W]`, normalized.

    Raises:
        DataError: If there is no image.
    """
    generator = torch.Generator().manual_seed(0)

    def moved(batch: Tensor) -> NDArray[np.float32]:
        return _logits(model, batch + UNREST * torch.randn(batch.shape, generator=generator))

    return _compared(model, moved, batches)


def _compared(model: nn.Module, other: Callable[[Tensor], NDArray[np.float32]], batches: Iterable[Tensor]) -> Parity:
    difference, total, same, disputed, images = 0.0, 0.0, 0, 0, 0
    with _evaluating(model):
        for batch in batches:
            ours, theirs = _logits(model, batch), other(batch)
            agree = ours.argmax(axis=1) == theirs.argmax(axis=1)
            apart = np.abs(ours - theirs)
            # `max` of Python would drop a NaN that comes second.
            difference = float(np.maximum(difference, apart.max()))
            total += float(apart.mean()) * len(ours)
            same += int(agree.sum())
            disputed += int((~agree & (_margins(ours) > TOLERANCE)).sum())
            images += len(ours)
    if images == 0:
        raise DataError("Parity needs at least one image, but there is none. Give more images.")
    return Parity(difference, same / images, images, disputed, total / images)


def _logits(model: nn.Module, batch: Tensor) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = model(batch.to(next(model.parameters()).device)).float().cpu().numpy()
    return logits


def check(result: Parity) -> None:
    """Refuses a file that does not compute what the network computes.

    Raises:
        ExportError: If logits differ by more than the tolerance, or a class does that was not a tie.
    """
    if not result.max_abs_difference <= TOLERANCE or result.disputed:
        raise ExportError(
            f"The ONNX file must give torch's logits to within {TOLERANCE:g} and the same classes, but over "
            f"{result.images} images they differ by up to {result.max_abs_difference:.3g} and {result.disputed} "
            "clear answers differ. Check the network's forward pass for what depends on the batch or on chance; "
            "model.safetensors is not affected."
        )


def check_quantized(result: Parity, alone: Callable[[], Parity]) -> Parity | None:
    """Refuses a quantized file that does not answer as the network that it was made from.

    Logits are not held to a tolerance: a value between two levels may fall to either side, and moves all behind it.
    A file that gives too few of the classes passes where it differs no more than the network differs from itself.

    Args:
        result: The file against the network.
        alone: The network against itself, see `unrest`; only asked where it matters.

    Returns:
        What `alone` said, where it was asked.

    Raises:
        ExportError: If too many classes differ, or logits are not finite.
    """
    if math.isfinite(result.max_abs_difference) and result.same_top1 >= LEAST_AGREEMENT:
        return None
    own = alone()
    if result.same_top1 >= own.same_top1 and result.mean_abs_difference <= own.mean_abs_difference:
        return own
    raise ExportError(
        f"A quantized ONNX file must give torch's class for {LEAST_AGREEMENT:.1%} of the images, or at least as often "
        f"as the network gives its own when they move by a hundredth of a grey level ({own.same_top1:.1%}), but over "
        f"{result.images} images it does for {result.same_top1:.1%} (logits differ by {result.mean_abs_difference:.3g} "
        f"on average, and by up to {result.max_abs_difference:.3g}). Give more bits to activations (`--bits w4,8a8`), "
        "or check on more images. model.safetensors is not affected."
    )


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; afterwards every flag is as before."""
    flags = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, flag in flags.items():
            module.training = flag


def _margins(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """By how much the best logit of each image exceeds the second."""
    if logits.shape[1] == 1:
        return np.full(len(logits), np.inf, np.float32)
    best = np.partition(logits, -2, axis=1)
    margins: NDArray[np.float32] = best[:, -1] - best[:, -2]
    return margins
