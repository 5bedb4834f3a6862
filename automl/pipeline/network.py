"""The dense network and its data, which must agree on channels, size and classes."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from automl.core.errors import DataError
from automl.data.splits import Splits, load_splits
from automl.models.head import classifier_classes, replace_head
from automl.models.registry import build, default_input_size, input_channels
from automl.models.weights import WeightsReport, load_pretrained, load_weights
from automl.store.config import RunConfig

PRETRAINED = "pretrained"
"""The value of `--weights` that asks timm or torchvision for theirs."""
_BY_THE_MODEL = ("imagefolder:", "torchvision:ImageNet")
"""Data without a size of their own: the model's is taken."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network that fits its data."""

    model: nn.Module
    splits: Splits
    classes: int
    """Number of logits."""
    weights: WeightsReport | None
    """What was loaded; None where the network starts from scratch."""

    @property
    def trained(self) -> bool:
        """Whether the weights answer this data's question; else the baseline must be trained first."""
        return self.weights is not None and not self.weights.head_replaced


def open_network(config: RunConfig) -> Network:
    """Builds the network, opens the data at its size, and loads weights where there are any.

    A network or file with another number of classes gets a fresh classifier.

    Raises:
        InputError: If the model, data or weights cannot be opened, or do not fit each other.
    """
    torch.manual_seed(config.seed)
    model = build(config.model)
    size = config.input_size
    if size is None and config.data.startswith(_BY_THE_MODEL):
        size = default_input_size(config.model)
    splits = load_splits(
        config.data, seed=config.seed, input_size=size, channels=input_channels(model), limit=config.limit
    )
    wanted = len(splits.classes) or classifier_classes(model)
    model = _with_classes(config, model, wanted)
    report = _load(config, model)
    if report is not None and report.head_replaced and not splits.labelled:
        # Without labels the file's own classes are the only ones there are.
        wanted = report.file_classes or wanted
        model = _with_classes(config, model, wanted)
        report = _load(config, model)
    if report is None and not splits.labelled:
        raise DataError(
            f"Images without labels need a trained network to agree with, but {config.data!r} has no class folders "
            "and no weights were given. Give `--weights FILE`, or sort the images into a folder per class."
        )
    return Network(model, splits, wanted, report)


def _with_classes(config: RunConfig, model: nn.Module, classes: int) -> nn.Module:
    if classifier_classes(model) == classes:
        return model
    torch.manual_seed(config.seed)
    model = build(config.model, classes=classes)
    if classifier_classes(model) != classes:  # a factory without a `classes` parameter
        replace_head(model, classes)
    return model


def _load(config: RunConfig, model: nn.Module) -> WeightsReport | None:
    if config.weights is None:
        return None
    if config.weights == PRETRAINED:
        return load_pretrained(model, config.model)
    return load_weights(model, Path(config.weights))
