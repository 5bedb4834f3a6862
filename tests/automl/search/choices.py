"""Small budgeted choices of widths whose optimum can be found by trying everything."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.core.budget import METRICS, Budget
from automl.core.graph import ChannelGroup, Extent, Layer, ModelGraph, TensorShape
from automl.core.knob import Knob
from automl.core.policy import dense_policy
from automl.core.sensitivity import SensitivityTable
from automl.costs.model import AnalyticCostModel
from benchmarks.tables import random_table

Widths = NDArray[np.int64]
STEP = 4


@dataclass(frozen=True, slots=True)
class Choice:
    """A network without weights, its knobs, and a random table."""

    graph: ModelGraph
    knobs: tuple[Knob, ...]
    table: SensitivityTable

    @property
    def cost_model(self) -> AnalyticCostModel:
        return AnalyticCostModel(self.graph)

    def used(self, widths: Widths, budget: str) -> NDArray[np.float64]:
        """Share of each limit, for many rows."""
        dense = self.cost_model(dense_policy(self.graph))
        limits = Budget.parse(budget).limits
        costs = self.cost_model.table(np.atleast_2d(widths))
        return np.stack([costs[:, METRICS.index(x.metric)] / x.absolute(dense) for x in limits], axis=1)

    def loss(self, widths: Widths) -> float:
        return self.table.loss(dict(zip(self.table.knobs, widths.tolist(), strict=True)))

    def everything(self) -> Widths:
        """Every choice, those that drop half a branch left out."""
        partners = {name for group in self.graph.groups if group.droppable for name in group.drops}
        rows = [((0, *k.choices) if k.target in partners else k.choices) for k in self.knobs]
        widths = np.array(list(itertools.product(*rows)))
        place = {knob.target: index for index, knob in enumerate(self.knobs)}
        for group in self.graph.groups:
            for name in group.drops:
                widths = widths[(widths[:, place[group.name]] == 0) == (widths[:, place[name]] == 0)]
        return widths

    def optimum(self, budget: str) -> float:
        """The least loss of any choice within the budget."""
        widths = self.everything()
        feasible = widths[(self.used(widths, budget) <= 1.0).all(axis=1)]
        return min(self.loss(row) for row in feasible)


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
    layers = [
        _conv(f"{out or 'head'}{i}", [out] if out else [], [into] if into else [], int(random.integers(1, 65)))
        for i, (out, into) in enumerate(reads)
    ]
    return _choice(random, layers, sizes, {"b": ("a",), "d": ("c",)} if droppable else {})


def concatenation(seed: int) -> Choice:
    """Three branches that are read together, twice, and one layer that reads all."""
    random = np.random.default_rng(seed)
    sizes = {"a": 12, "b": 16, "c": 12, "d": 12, "e": 16, "f": 12}
    layers = [_conv(name, [name], [], int(random.integers(1, 65))) for name in "abc"]
    layers += [_conv(name, [name], ["a", "b", "c"], int(random.integers(1, 65))) for name in "def"]
    layers.append(_conv("head", [], list(sizes), 1))
    return _choice(random, layers, sizes, {})


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
