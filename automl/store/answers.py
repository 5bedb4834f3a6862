"""`answers.safetensors`: what each network of a result answered to each test image, so that runs can be paired."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from automl.core.errors import RunError
from automl.store.files import write_bytes

FORMAT = "automl-answers/1"
_LABELS = "labels"
_NETWORKS = ("baseline", "uniform", "best", "finetuned", "quantized")
Classes = NDArray[np.int32]
"""A class for each test image, shape `(images,)`."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageAnswers:
    """The answers of every network of the final table, image by image."""

    test: str
    """Digest of the test images: equal for the same images in the same order."""
    labels: Classes
    """-1 where there is none."""
    networks: Mapping[str, Classes]
    """Network, by its key in `metrics.json` -> its answers; `baseline` is always there."""

    @property
    def final(self) -> str:
        """The network that was exported."""
        return next(name for name in reversed(_NETWORKS) if name in self.networks)

    def are_of(self, accuracy: float) -> bool:
        """Whether they are of a result of this accuracy, and not of an earlier or a later one."""
        return bool(np.isclose(self.right(self.final).mean(), accuracy))

    def right(self, network: str) -> NDArray[np.bool_]:
        """Which answers are right, shape `(images,)`; without labels, which agree with the dense network."""
        truth = self.labels if bool((self.labels >= 0).all()) else self.networks["baseline"]
        return np.asarray(self.networks[network] == truth, dtype=np.bool_)


def write_answers(path: Path, answers: ImageAnswers) -> None:
    """Writes `answers`, whole or not at all; raises `RunError` where the disk refuses."""
    tensors = {_LABELS: answers.labels, **answers.networks}
    write_bytes(path, save(tensors, {"format": FORMAT, "test": answers.test}))


def read_answers(path: Path) -> ImageAnswers:
    """Reads what `write_answers` wrote.

    Raises:
        RunError: If the file is missing, damaged or of another format.
    """
    way_out = "Write it anew with `automl resume`."
    try:
        with safe_open(path, framework="numpy") as file:
            facts = file.metadata() or {}
            tensors = {name: np.asarray(file.get_tensor(name), dtype=np.int32) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"The answers of a run must be readable, but {path} is not ({error}). {way_out}") from error
    labels = tensors.pop(_LABELS, None)
    unlike = [name for name, each in tensors.items() if labels is None or each.shape != labels.shape]
    if facts.get("format") != FORMAT or labels is None or labels.ndim != 1 or unlike or "baseline" not in tensors:
        raise RunError(f"The answers of a run must be whole and of the format {FORMAT!r}, but {path} is not. {way_out}")
    return ImageAnswers(facts.get("test", ""), labels, {name: tensors[name] for name in _NETWORKS if name in tensors})
