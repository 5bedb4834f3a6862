"""Small budgeted choices of widths, and of widths and bits, whose optimum can be found by trying everything."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from automl.core.bits import BitChoices
from automl.core.budget import METRICS, Budget
from automl.core.graph import ChannelGroup, Extent, Layer, ModelGraph, Quantizable, TensorShape
from automl.core.knob import Knob
from automl.core.policy import dense_policy
from automl.core.projection import bit_layout
from automl.core.quadratic import QuadraticForm
from automl.core.sensitivity import SensitivityTable
from automl.core.view import WIDTH, View
from automl.costs.model import AnalyticCostModel
from benchmarks.tables import random_table
from search_spaces.bit_widths import bit_knobs

Values = NDArray[np.int64]
STEP = 4
LATENCY_VIEWS = (WIDTH, View("padded", 2 * STEP), View("odd", 2 * STEP), View("alive"))
"""Every other width is no multiple, so that wider can be faster."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A network without weights, its knobs, and a random table."""

    graph: ModelGraph
    knobs: tuple[Knob, ...]
    table: SensitivityTable
    latency: QuadraticForm | None = None

    @property
    def cost_model(self) -> AnalyticCostModel:
        return AnalyticCostModel(self.graph, self.latency)

    def used(self, values: Values, budget: str) -> NDArray[np.float64]:
        """Share of each limit, for many rows."""
        model = self.cost_model
        dense = model(dense_policy(self.graph))
        limits = Budget.parse(budget).limits
        groups = len(self.graph.prunable)
        widths, bits = np.split(np.atleast_2d(values), [groups], axis=1)
        if self.knobs[groups:] and model.bit_costs is not None:
            costs = model.table(widths, bits[:, bit_layout(self.knobs[groups:], model.bit_costs.layers)])
        else:
            costs = model.table(widths)
        return np.stack([costs[:, METRICS.index(x.metric)] / x.absolute(dense) for x in limits], axis=1)

    def loss(self, values: Values) -> float:
        return self.table.loss(dict(zip(self.table.knobs, values.tolist(), strict=True)))

    def everything(self) -> Values:
        """Every choice, those that drop half a branch left out."""
        partners = {name for group in self.graph.groups if group.droppable for name in group.drops}
        rows = [((0, *k.choices) if k.target in partners else k.choices) for k in self.knobs]
        values = np.array(list(itertools.product(*rows)))
        place = {knob.target: index for index, knob in enumerate(self.knobs)}
        for group in self.graph.groups:
            for name in group.drops:
                values = values[(values[:, place[group.name]] == 0) == (values[:, place[name]] == 0)]
        return values

    def optimum(self, budget: str) -> float:
        """The least loss of any choice within the budget."""
        values = self.everything()
        feasible = values[(self.used(values, budget) <= 1.0).all(axis=1)]
        total = np.zeros(len(feasible))
        for column, choices, losses in zip(feasible.T, self.table.choices, self.table.losses, strict=True):
            of_value = np.zeros(max(choices) + 1)  # a group that goes with a branch loses nothing of its own
            of_value[list(choices)] = losses
            total += of_value[column]
        return float(total.min())


def chain(seed: int, *, groups: int = 5, levels: int = 6) -> Choice:
    """Each layer reads the group of the one before."""
    random = np.random.default_rng(seed)
    names = [f"g{i}" for i in range(groups)]
    sizes = {name: int(STEP * random.integers(levels - 1, levels + 1)) for name in names}
    layers = [
        _conv(name, [name], [before] if before else [], int(random.integers(1, 65)))
        for name, before in zip(names, [None, *names[:-1]], strict=True)
    ]
    return _choice(random, [*layers, _conv("head", [], [names[-1]], 1)], sizes, {})


def residual(seed: int, *, droppable: bool = False) -> Choice:
    """Two bottlenecks on one stream, then one that widens to another."""
    random = np.random.default_rng(seed)
    sizes = {"s": 20, "a": 16, "b": 16, "c": 12, "d": 12, "t": 24}
    reads = [("s", ""), ("a", "s"), ("b", "a"), ("s", "b"), ("c", "s"), ("d", "c"), ("t", "d"), ("t", "s"), ("", "t")]
    return _choice(random, _layers(random, reads), sizes, {"b": ("a",), "d": ("c",)} if droppable else {})


def concatenation(seed: int) -> Choice:
    """Three branches that are read together, twice, and one layer that reads all."""
    random = np.random.default_rng(seed)
    sizes = {"a": 12, "b": 16, "c": 12, "d": 12, "e": 16, "f": 12}
    layers = [_conv(name, [name], [], int(random.integers(1, 65))) for name in "abc"]
    layers += [_conv(name, [name], ["a", "b", "c"], int(random.integers(1, 65))) for name in "def"]
    layers.append(_conv("head", [], list(sizes), 1))
    return _choice(random, layers, sizes, {})


def joint_chain(seed: int, bits: str = "4,8") -> Choice:
    """Three groups in a row, of which one is read and made by the same layer; bits for each layer."""
    random = np.random.default_rng(seed)
    layers = _layers(random, [("a", ""), ("b", "a"), ("b", "b"), ("c", "b"), ("", "c")])
    inputs = (("a0",), ("b1",), ("b2", "c3"), ("head4",))
    return _with_bits(_choice(random, layers, {"a": 16, "b": 16, "c": 12}, {}), inputs, bits, random)


def joint_residual(seed: int, bits: str = "4,8", *, droppable: bool = False) -> Choice:
    """A branch of two groups on a stream; its first layer and the head read the same activations."""
    random = np.random.default_rng(seed)
    layers = _layers(random, [("s", ""), ("a", "s"), ("b", "a"), ("s", "b"), ("", "s")])
    choice = _choice(random, layers, {"s": 20, "a": 12, "b": 12}, {"b": ("a",)} if droppable else {})
    return _with_bits(choice, (("s0",), ("a1", "head4"), ("b2",), ("s3",)), bits, random)


def joint_concatenation(seed: int, bits: str = "4,8") -> Choice:
    """Two branches of the images that are read together, by two layers."""
    random = np.random.default_rng(seed)
    layers = [_conv(name, [name], [], int(random.integers(1, 65))) for name in "ab"]
    layers += [_conv("c", ["c"], ["a", "b"], int(random.integers(1, 65))), _conv("head", [], ["a", "b", "c"], 1)]
    choice = _choice(random, layers, {"a": 16, "b": 12, "c": 16}, {})
    return _with_bits(choice, (("a", "b"), ("c", "head")), bits, random)


def timed(choice: Choice, seed: int) -> Choice:
    """The same on a device: each layer takes a random sum of products of what it makes and what it reads, as seen."""
    random = np.random.default_rng(seed)
    groups = [group.name for group in choice.graph.prunable]
    views = len(LATENCY_VIEWS)
    linear, products = np.zeros(len(groups) * views), np.zeros((len(groups) * views, len(groups) * views))
    scales = np.array([1.0 if view.kind == "alive" else 16.0 for view in LATENCY_VIEWS])
    for layer in choice.graph.layers:
        made, read = ([groups.index(name) for name, _ in extent.terms] for extent in (layer.outputs, layer.inputs))
        for group in (made or read) if not (made and read) else []:
            linear[group * views : (group + 1) * views] += random.exponential(1.0, views) / scales
        for i, j in itertools.product(made, read):
            block = random.exponential(1.0, (views, views)) * (random.random((views, views)) < 0.5)
            block = (block if i <= j else block.T) / np.outer(scales, scales)
            low, high = min(i, j) * views, max(i, j) * views
            products[low : low + views, high : high + views] += np.triu(block) if i == j else block
    return replace(choice, latency=QuadraticForm(0.1, linear, products, LATENCY_VIEWS))


def _with_bits(choice: Choice, inputs: tuple[tuple[str, ...], ...], bits: str, random: np.random.Generator) -> Choice:
    """The same network with 3x3 kernels, and bits for every layer; those of `inputs` that are together share theirs."""
    kernel = (Extent(3), Extent(3))
    graph = replace(
        choice.graph,
        layers=tuple(replace(layer, kernel=(3, 3)) for layer in choice.graph.layers),
        tensors=tuple(replace(tensor, extents=(*tensor.extents, *kernel)) for tensor in choice.graph.tensors),
        quantizable=Quantizable(tuple(layer.name for layer in choice.graph.layers), inputs, (), (), 0),
    )
    chosen = BitChoices.parse(bits)
    knobs = (*choice.knobs, *bit_knobs(graph, chosen, chosen))
    return Choice(graph, knobs, random_table(knobs, random))


def _layers(random: np.random.Generator, reads: Sequence[tuple[str, str]]) -> list[Layer]:
    """Layers from one group to another; without a name they make the logits, or read the images."""
    return [
        _conv(f"{out or 'head'}{i}", [out] if out else [], [into] if into else [], int(random.integers(1, 65)))
        for i, (out, into) in enumerate(reads)
    ]


def _choice(
    random: np.random.Generator, layers: Sequence[Layer], sizes: dict[str, int], branches: dict[str, tuple[str, ...]]
) -> Choice:
    groups = tuple(
        ChannelGroup(name, size, (name,), (), droppable=name in branches, drops=branches.get(name, ()))
        for name, size in sizes.items()
    )
    tensors = tuple(TensorShape(f"{x.name}.weight", (x.outputs, x.inputs), learned=True, value_bytes=4) for x in layers)
    knobs = tuple(
        Knob(name, "channels", (*([0] if name in branches else []), *range(STEP, size + 1, STEP)))
        for name, size in sizes.items()
    )
    graph = ModelGraph((3, 8, 8), tuple(layers), groups, tensors)
    return Choice(graph, knobs, random_table(knobs, random))


def _conv(name: str, outputs: Sequence[str], inputs: Sequence[str], positions: int) -> Layer:
    made = Extent(0 if outputs else 10, tuple((group, 1) for group in outputs))
    read = Extent(0 if inputs else 3, tuple((group, 1) for group in inputs))
    return Layer(name, "conv", made, read, read, (1, 1), (1, 1), (1, positions), positions)
