"""What a method that chooses bit-widths is given and gives back, ours or a peer's: the widths stay whole."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from automl.compress.places import with_quantizable
from automl.core.bits import BitChoices, BitWidths, first_and_last, mean_bits
from automl.core.budget import Budget
from automl.core.errors import SearchError
from automl.core.graph import ModelGraph, Quantizable
from automl.core.policy import CompressionPolicy, dense_policy
from automl.core.projection import Projection
from automl.costs.model import AnalyticCostModel
from automl.evaluate.held import Batches
from automl.pipeline.subject import Subject
from search_spaces.rules import WidthRule, default_rule
from search_spaces.space import joint_space

WEIGHT_BITS = (2, 4, 8)
"""What every method may give to a layer: those that Sony's toolkit knows."""
ACTIVATION_BITS = 8
END_BITS = 8
"""Of the first and the last layer, for every method."""
_FLOAT_PRODUCT = 32 * 32


@dataclass(frozen=True, slots=True)
class BitTask:
    """One network whose layers are to get bit-widths; every method sees the same images."""

    subject: Subject
    """Of `weight_bits_only`."""
    mean_bits: float
    """The most bits that a weight may have in the mean, first and last layer included."""
    calibration: Batches
    search: Batches
    test: Batches
    """For the answers of what a peer makes itself; nothing is chosen by them."""
    trials: int
    """Policies that our search evaluates."""

    @property
    def ends(self) -> tuple[str, ...]:
        """The first and the last layer."""
        return able(self.subject.traced.graph).ends


@dataclass(frozen=True, slots=True)
class Assigned:
    """Bits for every layer."""

    bits: Mapping[str, int]
    """Layer -> bits of its weights."""
    seconds: float
    """Wall time from the dense network to these."""
    logits: Tensor | None = None
    """What the peer's own quantized network answers to the test images, nothing trained; None for ours."""


BitMethod = Callable[[BitTask], Assigned]


def weight_bits_only(subject: Subject, mean: float) -> Subject:
    """The same network in a space of bit-widths alone, under a budget on the mean bits of a weight.

    The costs are those of a network whose layers have one output position each. There multiply-adds are weights, and
    BOPs are the weights' bits times `ACTIVATION_BITS`: a budget on BOPs is one on mean bits. A size budget would take
    weights of 2 bits for 4, as files store them.
    """
    config = replace(
        subject.config,
        bits=f"w{','.join(map(str, WEIGHT_BITS))}a{ACTIVATION_BITS}",
        first_last_bits=END_BITS,
        min_keep=1.0,
        budget=(f"{mean * ACTIVATION_BITS / _FLOAT_PRODUCT}bops",),
    )
    traced = with_quantizable(subject.model, subject.traced)
    rule = WidthRule(default_rule(traced.graph).multiple, config.min_keep)
    space = joint_space(traced.graph, rule, BitChoices.parse(config.bits or ""), first_and_last(END_BITS))
    flat = tuple(replace(layer, positions=1) for layer in traced.graph.layers)
    cost_model = AnalyticCostModel(replace(traced.graph, layers=flat))
    dense_cost, budget = cost_model(dense_policy(traced.graph)), Budget.parse(config.budget)
    return replace(
        subject,
        config=config,
        traced=traced,
        space=space,
        cost_model=cost_model,
        dense_cost=dense_cost,
        budget=budget,
        projection=Projection(space.knobs, cost_model, budget, dense_cost),
        fingerprint=replace(subject.fingerprint, budget=str(budget), space=f"{space.knobs}"),
    )


def policy_of_bits(task: BitTask, bits: Mapping[str, int]) -> tuple[CompressionPolicy, float]:
    """The policy that gives the layers these bits, and its mean bits of a weight.

    Raises:
        SearchError: If a layer is missing, an end does not have its bits, or the mean is above the task's.
    """
    graph = task.subject.traced.graph
    wanted = able(graph).layers
    if set(bits) != set(wanted):
        odd = sorted(set(bits) ^ set(wanted))
        raise SearchError(f"Bits must be given to each layer once, but not so: {', '.join(odd)}.")
    wrong = [name for name in task.ends if bits[name] != END_BITS]
    if wrong:
        raise SearchError(f"The first and the last layer must have {END_BITS} bits, but {wrong[0]} has not.")
    widths = {name: BitWidths(bits[name], ACTIVATION_BITS) for name in wanted}
    mean = mean_bits(widths, weight_counts(task.subject.model))
    if mean > task.mean_bits + 1e-9:
        raise SearchError(f"A result must have at most {task.mean_bits:g} bits in the mean, but has {mean:.3f}.")
    return replace(dense_policy(graph), bits=widths), mean


def weight_counts(model: nn.Module) -> dict[str, int]:
    """Layer -> number of its weights."""
    layers = (nn.Conv2d, nn.Linear)
    return {name: layer.weight.numel() for name, layer in model.named_modules() if isinstance(layer, layers)}


def able(graph: ModelGraph) -> Quantizable:
    """Where bit-widths can be had.

    Raises:
        SearchError: If some layer can have none: the mean bits would not be those of the whole network.
    """
    found = graph.quantizable
    if found is None or len(found.layers) != len(graph.layers):
        raise SearchError("Every layer of the network must be able to have bit-widths, but one is not.")
    return found


def images_of(batches: Batches) -> Tensor:
    """All images of some batches, in the memory order that peers expect."""
    return torch.cat([images for images, _ in batches]).contiguous()
