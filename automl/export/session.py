"""An ONNX classifier, opened and run."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from onnxruntime import InferenceSession, SessionOptions  # type: ignore[attr-defined]
from torch import Tensor
from torch.utils.data import Dataset

from automl.core.errors import DataError, InputError
from automl.data.splits import batches

_QUIET = 4
"""ONNX Runtime's level for fatal messages only: what goes wrong is raised, and must not be printed as well."""
_BATCH = 64


class OnnxClassifier:
    """Runs a classifier in ONNX Runtime on the CPU.

    Args:
        path: A file with one float32 input `[batch, C, H, W]` and one output `[batch, classes]`, where the batch is
            free or 1.
        threads: CPU threads of one run.

    Raises:
        InputError: If the file is missing, damaged, or no such classifier.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        self._path = path
        self._session = open_session(path, threads=threads)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
            found = ", ".join(f"{value.type} {value.shape}" for value in inputs)
            raise InputError(
                f"An image classifier must read one float32 tensor [batch, C, H, W], but {path} reads {found}. "
                "Export a model of that form."
            )
        batch, *sizes = inputs[0].shape
        if not all(isinstance(size, int) for size in sizes) or (isinstance(batch, int) and batch != 1):
            raise InputError(
                f"An image classifier must have a fixed C, H and W and a batch that is free or 1, but {path} has "
                f"{inputs[0].shape}. Export it again with these sizes."
            )
        self._input = inputs[0].name
        self._one_by_one = batch == 1
        self.input_shape: tuple[int, int, int] = (sizes[0], sizes[1], sizes[2])
        """(channels, height, width) of one image."""
        answer = self._run(np.zeros((1, *self.input_shape), np.float32))
        if answer.ndim != 2 or len(answer) != 1:
            raise InputError(
                f"An image classifier must answer with [batch, classes], but {path} answers one image with "
                f"{list(answer.shape)}. Export the network that ends in logits."
            )
        self.classes = int(answer.shape[1])
        """Number of logits."""

    def logits(self, images: Tensor) -> NDArray[np.float32]:
        """Logits `[N, classes]` of images `[N, C, H, W]`.

        Raises:
            InputError: If the images do not have the classifier's input shape.
        """
        if tuple(images.shape[1:]) != self.input_shape:
            raise InputError(
                f"Images must be {list(self.input_shape)} for {self._path}, but got {list(images.shape[1:])}. "
                f"Give them that size (`--input-size {self.input_shape[-1]}`)."
            )
        array = images.detach().cpu().float().contiguous().numpy()
        if self._one_by_one:
            return np.concatenate([self._run(image[None]) for image in array])
        return self._run(array)

    def _run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            answers = self._session.run(None, {self._input: images})
        except Exception as error:  # ONNX Runtime's exceptions have no common class
            raise InputError(f"An ONNX file must run, but {self._path} does not: {error}. Export it again.") from error
        answer: NDArray[np.float32] = np.asarray(answers[0])
        return answer


def open_session(
    path: Path, *, content: bytes | None = None, optimized: Path | None = None, threads: int = 1
) -> InferenceSession:
    """Opens an ONNX file for the CPU.

    Args:
        path: The file.
        content: What to open in its place: the file's graph, changed.
        optimized: Where to write the graph that really runs.
        threads: CPU threads of one run.

    Raises:
        InputError: If it is missing, damaged, or beyond ONNX Runtime.
    """
    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _QUIET
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    try:
        if content is None and not path.is_file():
            raise FileNotFoundError("there is no such file")
        return InferenceSession(content or str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common class
        raise InputError(
            f"An ONNX file must be readable by ONNX Runtime, but {path} is not: {error}. Check the path, or export "
            "the run again."
        ) from error


@dataclass(frozen=True, slots=True)
class Score:
    """How many images were classified rightly."""

    right: int
    """Images whose highest logit is that of their label."""
    images: int
    """All of them."""

    @property
    def accuracy(self) -> float:
        """Share of right answers in [0, 1]."""
        return self.right / self.images


def score(classifier: OnnxClassifier, dataset: Dataset[tuple[Tensor, int]]) -> Score:
    """Runs the classifier over a labelled data set.

    Raises:
        DataError: If there is no image, one has no label, or its label is beyond the classifier's classes.
        InputError: If the images do not have the classifier's input shape.
    """
    right = images = 0
    for inputs, labels in batches(dataset, _BATCH):
        truth = torch.as_tensor(labels).numpy()
        if (truth < 0).any():
            raise DataError("Accuracy needs labels, but an image has none. Sort the images into a folder per class.")
        if (truth >= classifier.classes).any():
            raise DataError(
                f"Labels must be among the classifier's {classifier.classes} classes, but the data has label "
                f"{int(truth.max())}. Give the data set that it was trained on."
            )
        right += int((classifier.logits(inputs).argmax(axis=1) == truth).sum())
        images += len(truth)
    if images == 0:
        raise DataError("Accuracy needs at least one image, but the data set is empty. Give more images.")
    return Score(right, images)
