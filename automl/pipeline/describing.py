"""What a network is made of and costs, before or after a policy: no data, no training."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import nn

from automl.compress.places import with_quantizable
from automl.compress.probe import trace_prunable
from automl.compress.surgery import slim
from automl.core.bits import BitWidths
from automl.core.cost import Cost
from automl.core.errors import AutoMLError, InputError, PolicyError
from automl.core.graph import ChannelGroup, Layer, ModelGraph
from automl.core.limits import MOST_CLASSES, MOST_SIZE
from automl.core.policy import CompressionPolicy, checked_policy, dense_policy
from automl.costs.model import AnalyticCostModel
from automl.export.policy_file import PolicyFile, read_policy
from automl.models.head import classifier_classes, replace_head
from automl.models.registry import build, input_channels
from automl.models.weights import WeightsReport, load_pretrained, load_weights
from automl.pipeline.coverage import coverage
from automl.pipeline.network import PRETRAINED
from automl.report.console import Coverage
from automl.store.files import read_json
from automl.tracing.channel_map import TracedModel
from search_spaces.amc import amc_policy
from search_spaces.resnet import gluoncv_policy

TABLE_SIZE = 224
"""Height and width in pixels that published tables of MACs refer to."""
_CIFAR_SIZE = 32
_AMC_KEYS = ("channels", "pruned_channels", "strategy")
_FORMS = (
    "a policy.json of automl (`automl export` writes one), AMC's list of channels (alone, or under 'channels', "
    "'pruned_channels' or 'strategy'), or GluonCV's weight shapes ('resnetv1d_..._weight')"
)

PolicyContent = PolicyFile | tuple[int, ...] | Mapping[str, list[int]]
"""Our own file, AMC's channel list, or GluonCV's weight shapes."""


@dataclass(frozen=True, slots=True)
class Description:
    """One network, and what a policy leaves of it."""

    model: str
    """Model spec."""
    graph: ModelGraph
    dense: Cost
    """Cost without the policy."""
    policy: CompressionPolicy | None
    """Every prunable group written out; None where no policy was given."""
    compressed: Cost | None
    """Cost of the policy; None where no policy was given."""
    coverage: Coverage

    @property
    def kept(self) -> dict[str, int]:
        """Channels kept of every group, prunable or not."""
        chosen = {} if self.policy is None else self.policy.channels
        return {group.name: chosen.get(group.name, group.channels) for group in self.graph.groups}

    @property
    def bits(self) -> Mapping[str, BitWidths]:
        """Layer -> bit-widths; a layer that is absent is in float."""
        return {} if self.policy is None else self.policy.bits

    def to_json(self) -> dict[str, Any]:
        """The layout of `automl describe --json`."""
        kept = self.kept
        value = {
            "model": self.model,
            "input": list(self.graph.input_shape),
            **_cost_json(self.compressed or self.dense),
            "groups": [_group_json(group, kept) for group in self.graph.groups],
            "layers": [_layer_json(layer, kept, self.bits) for layer in self.graph.layers],
            "prunable_macs_fraction": self.coverage.prunable_macs_fraction,
            "least_macs_fraction": self.coverage.least_macs_fraction,
            "unfollowed": list(self.coverage.unfollowed),
        }
        return value if self.compressed is None else value | {"dense": _cost_json(self.dense)}


def describe(
    spec: str,
    *,
    policy_file: Path | None = None,
    input_size: int | None = None,
    weights: str | None = None,
    classes: int | None = None,
) -> Description:
    """Traces a network and prices it; a policy is really applied, and the smaller network run once.

    Args:
        spec: Model spec.
        policy_file: Policy in any form that `read_policy_content` knows.
        input_size: Height and width in pixels; None takes that of our policy file, else 32 for the CIFAR ResNets
            and 224 for all others, the size of the published tables.
        weights: A file, or `pretrained`; None leaves the fresh ones, which cost the same.
        classes: Number of logits; None takes those of our policy file or of the weights, else the network's own.

    Raises:
        InputError: If the model, weights or policy cannot be read, or do not fit each other.
        AutoMLError: If the smaller network has other parameters than predicted, which is a fault of automl.
    """
    if input_size is not None and not 1 <= input_size <= MOST_SIZE:
        raise InputError(
            f"`--input-size` must be 1 px or more and at most {MOST_SIZE}, but got {input_size}. {TABLE_SIZE} is usual."
        )
    if classes is not None and not 1 <= classes <= MOST_CLASSES:
        raise InputError(f"`--classes` must be at least 1 and at most {MOST_CLASSES:,}, but got {classes}.")
    content = None if policy_file is None else read_policy_content(policy_file)
    if isinstance(content, PolicyFile):
        input_size = input_size or (content.input_shape[-1] if content.input_shape else None)
        classes = classes or content.classes
    model = _opened(spec, weights, classes)
    size = input_size or _default_size(spec)
    traced = trace_prunable(model, (input_channels(model), size, size))
    if isinstance(content, PolicyFile) and content.policy.bits:
        traced = with_quantizable(model, traced)
    cost_model = AnalyticCostModel(traced.graph)
    policy = None if content is None else checked_policy(traced.graph, _policy(traced.graph, content))
    compressed = None if policy is None else cost_model(policy)
    if policy is not None and compressed is not None:
        _apply(model, traced, policy, cost_model(CompressionPolicy(policy.channels)))
    dense = cost_model(dense_policy(traced.graph))
    return Description(spec, traced.graph, dense, policy, compressed, coverage(traced.graph, cost_model))


def read_policy_content(path: Path) -> PolicyContent:
    """Reads a policy file: ours, AMC's or GluonCV's.

    Raises:
        PolicyError: If it cannot be read, or has none of these forms.
    """
    try:
        value = read_json(path)
    except (OSError, ValueError) as error:
        raise PolicyError(f"A policy file must be readable JSON, but {path} is not: {error}. Give {_FORMS}.") from error
    if isinstance(value, dict) and ("format" in value or isinstance(value.get("channels"), dict)):
        return read_policy(path)
    listed = next((value[key] for key in _AMC_KEYS if key in value), None) if isinstance(value, dict) else value
    if _are_counts(listed):
        return tuple(listed)
    if _are_gluoncv_shapes(value):
        return value
    raise PolicyError(f"A policy file must have one of three forms, but {path} has none of them. Give {_FORMS}.")


def _are_counts(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and bool(value) and all(type(item) is int and item >= 1 for item in value)


def _are_gluoncv_shapes(value: Any) -> TypeGuard[dict[str, list[int]]]:
    if not isinstance(value, dict) or not any(re.fullmatch(r"resnetv1d_.*_weight", key) for key in value):
        return False
    return all(_are_counts(shape) for shape in value.values())


def _policy(graph: ModelGraph, content: PolicyContent) -> CompressionPolicy:
    if isinstance(content, tuple):
        return amc_policy(graph, content)
    if not isinstance(content, PolicyFile):
        return gluoncv_policy(graph, content)
    full = {group.name: group.channels for group in graph.prunable}
    if content.full_channels and dict(content.full_channels) != full:
        raise PolicyError(
            f"A policy must be for the model, but its file was made for {content.model or 'another one'}, whose "
            "channel groups are not those of this one. Name that model, or search this one."
        )
    return content.policy


def _default_size(spec: str) -> int:
    return _CIFAR_SIZE if spec.startswith("cifar_resnet") else TABLE_SIZE


def _opened(spec: str, weights: str | None, classes: int | None) -> nn.Module:
    model = _built(spec, classes)
    if weights is None:
        return model
    report = _loaded(model, spec, weights)
    if report.head_replaced and classes is None:
        model = _built(spec, report.file_classes)
        _loaded(model, spec, weights)
    return model


def _built(spec: str, classes: int | None) -> nn.Module:
    model = build(spec, classes=classes)
    if classes is not None and classifier_classes(model) != classes:  # a factory without a `classes` parameter
        replace_head(model, classes)
    return model


def _loaded(model: nn.Module, spec: str, weights: str) -> WeightsReport:
    return load_pretrained(model, spec) if weights == PRETRAINED else load_weights(model, Path(weights))


def _apply(model: nn.Module, traced: TracedModel, policy: CompressionPolicy, predicted: Cost) -> None:
    """Removes the channels for real: the counts matter here, so of each group it is the first ones that stay."""
    first = {group: np.arange(count, dtype=np.int64) for group, count in policy.channels.items()}
    smaller = slim(model, traced.channel_map, first).eval()
    counted = sum(parameter.numel() for parameter in smaller.parameters())
    if counted != predicted.params:
        raise AutoMLError(
            f"The smaller network must have the {predicted.params:,} parameters that were predicted, but has "
            f"{counted:,}. This is a fault of automl: please report the model and the policy."
        )
    device = next(smaller.parameters()).device
    with torch.no_grad():
        smaller(torch.zeros(1, *traced.graph.input_shape, device=device))


def _cost_json(cost: Cost) -> dict[str, int]:
    return {"macs": cost.macs, "params": cost.params, "size_bytes": cost.size_bytes, "bops": cost.bops}


def _group_json(group: ChannelGroup, kept: Mapping[str, int]) -> dict[str, Any]:
    return {
        "name": group.name,
        "channels": group.channels,
        "kept": kept[group.name],
        "prunable": group.prunable,
        "droppable": group.droppable,
        "drops": list(group.drops),
        "reason": group.reason,
        "producers": list(group.producers),
        "consumers": list(group.consumers),
    }


def _layer_json(layer: Layer, kept: Mapping[str, int], bits: Mapping[str, BitWidths]) -> dict[str, Any]:
    own = bits.get(layer.name, BitWidths())
    return {
        "name": layer.name,
        "kind": layer.kind,
        "inputs": layer.inputs.size(kept),
        "outputs": layer.outputs.size(kept),
        "kernel": list(layer.kernel),
        "stride": list(layer.stride),
        "out_size": list(layer.out_size),
        "macs": layer.macs(kept),
        "weight_bits": own.weight,
        "input_bits": own.activation,
    }
