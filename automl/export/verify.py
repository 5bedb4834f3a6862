"""Whether the ONNX file computes what the network computes."""

import math
from collections.abc import Iterable, Iterator
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
"""Share of images whose class a quantized file must share with torch."""


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
    classifier = OnnxClassifier(path, threads=threads)
    device = next(model.parameters()).device
    difference, same, disputed, images = 0.0, 0, 0, 0
    with _evaluating(model):
        for batch in batches:
            ours: NDArray[np.float32] = model(batch.to(device)).float().cpu().numpy()
            theirs = classifier.logits(batch)
            agree = ours.argmax(axis=1) == theirs.argmax(axis=1)
            # `max` of Python would drop a NaN that comes second.
            difference = float(np.maximum(difference, np.abs(ours - theirs).max()))
            same += int(agree.sum())
            disputed += int((~agree & (_margins(ours) > TOLERANCE)).sum())
            images += len(ours)
    if images == 0:
        raise DataError("Parity needs at least one image, but there is none. Give more images.")
    return Parity(difference, same / images, images, disputed)


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


def check_quantized(result: Parity) -> None:
    """Refuses a quantized file that does not answer as the network that it was made from.

    Logits are not held to a tolerance: a value between two levels may fall to either side, and moves all behind it.

    Raises:
        ExportError: If too many classes differ, or logits are not finite.
    """
    if not math.isfinite(result.max_abs_difference) or not result.same_top1 >= LEAST_AGREEMENT:
        raise ExportError(
            f"A quantized ONNX file must give torch's class for {LEAST_AGREEMENT:.1%} of the images, but over "
            f"{result.images} images it does for {result.same_top1:.1%} (logits differ by up to "
            f"{result.max_abs_difference:.3g}). Give more bits to activations (`--bits w4,8a8`), or check on more "
            "images: few of them, or a network that is hardly sure of any, leave it to chance. model.safetensors is "
            "not affected."
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
