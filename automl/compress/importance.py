"""Which channels of a group to keep: scores per channel, from weights, batch-norm scales, gradients or inputs."""

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.compress.obs import elimination_scores
from automl.compress.statistics import NetworkStatistics
from automl.compress.surgery import KeptChannels
from automl.core.errors import InputError
from automl.core.policy import CompressionPolicy
from automl.tracing.channel_map import FIXED, ChannelMap, TracedModel

Criterion = Literal["l1", "l2", "taylor", "bn", "obs", "random"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
Scores = Mapping[str, NDArray[np.float64]]
"""Channel group -> score of each channel; the highest are kept."""


def scores(
    model: nn.Module,
    traced: TracedModel,
    criterion: str,
    *,
    images: Iterable[Tensor] = (),
    statistics: NetworkStatistics | None = None,
    seed: int = 0,
) -> Scores:
    """Scores every channel of every prunable group.

    `l1`, `l2`: norm of the filters that make the channel (Li et al. 2017). `bn`: absolute batch-norm scale (Liu et al.
    2017), `l1` where a group has none. `taylor`: squared first-order change of the loss when the filter is removed
    (Molchanov et al. 2019, eq. 8), with the model's own predictions as labels. `obs`: the order in which channels go
    if each time the one goes whose readers can make up for it best (structured optimal brain surgeon; see `obs`), and
    `l2` where no reader is described. `random`: a seeded baseline.
    Layers that share a group are scaled to the same mean, so that each has one vote.

    Args:
        images: Batches for `taylor`; not read otherwise.
        statistics: Of the inputs, for `obs`; not read otherwise.
        seed: For `random`; not read otherwise.

    Raises:
        InputError: If the criterion is unknown.
        ValueError: If `obs` is not given the statistics.
    """
    channel_map = traced.channel_map
    if criterion == "random":
        generator = np.random.default_rng(seed)
        return {group: generator.random(size) for group, size in channel_map.channels.items()}
    if criterion not in CRITERIA:
        raise InputError(f"`--importance` must be one of {', '.join(CRITERIA)}, but got {criterion!r}.")
    weights = {f"{layer.name}.weight" for layer in traced.graph.layers}
    if criterion == "taylor":
        return _by_group(channel_map, _taylor(model, weights, images))
    tensors = {name: tensor.detach() for name, tensor in model.named_parameters()}
    power = 2 if criterion in ("l2", "obs") else 1
    filters = {name: _norm(tensors[name], power) for name in weights if name in tensors}
    if criterion == "bn":
        scales = {f"{name}.weight": module.weight.detach().abs() for name, module in _batch_norms(model)}
        by_scale, by_filter = _by_group(channel_map, scales), _by_group(channel_map, filters)
        return {group: values if values.any() else by_filter[group] for group, values in by_scale.items()}
    if criterion == "obs":
        if statistics is None:
            raise ValueError("`obs` needs the input statistics.")
        return _by_group(channel_map, filters) | elimination_scores(model, traced, statistics)
    return _by_group(channel_map, filters)


def most_important(traced: TracedModel, policy: CompressionPolicy, channel_scores: Scores) -> KeptChannels:
    """The channels that `policy` keeps: the highest scores of each group, in the network's own order."""
    kept: dict[str, NDArray[np.int64]] = {}
    for group, channels in traced.channel_map.channels.items():
        count = policy.channels.get(group, channels)
        order = np.argsort(-channel_scores[group], kind="stable")
        kept[group] = np.sort(order[:count])
    return kept


def _norm(weight: Tensor, power: int) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(weight.flatten(1), ord=power, dim=1)
    return norms


def _batch_norms(model: nn.Module) -> list[tuple[str, nn.modules.batchnorm._BatchNorm]]:
    kind = nn.modules.batchnorm._BatchNorm
    return [(n, m) for n, m in model.named_modules() if isinstance(m, kind) and m.weight is not None]


def _taylor(model: nn.Module, weights: set[str], images: Iterable[Tensor]) -> dict[str, Tensor]:
    """Mean over batches of the squared sum of weight x gradient, per filter."""
    parameters = {name: tensor for name, tensor in model.named_parameters() if name in weights}
    totals = {name: torch.zeros(len(tensor), device=tensor.device) for name, tensor in parameters.items()}
    was_training = model.training
    model.eval()
    for batch in images:
        logits = model(batch)
        loss = F.cross_entropy(logits, logits.detach().argmax(dim=1))
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        for (name, tensor), gradient in zip(parameters.items(), gradients, strict=True):
            totals[name] += (tensor.detach() * gradient).flatten(1).sum(dim=1).square()
    model.train(was_training)
    return totals


def _by_group(channel_map: ChannelMap, by_tensor: Mapping[str, Tensor]) -> dict[str, NDArray[np.float64]]:
    """Adds up the scores of the entries of each channel over the tensors that make it."""
    totals = np.zeros(channel_map.count)
    for name, values in by_tensor.items():
        units = channel_map.units.get((name, 0))
        if units is None:
            continue
        scored = values.double().cpu().numpy()
        stays = units == FIXED
        mean = float(scored[~stays].mean())
        np.add.at(totals, units[~stays], scored[~stays] / mean if mean > 0 else 0.0)
    return {group: totals[channel_map.group_units(group)] for group in channel_map.channels}
