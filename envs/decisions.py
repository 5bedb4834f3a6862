"""What an episode decides, one step after the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from automl.core.graph import ChannelGroup, ModelGraph
from automl.core.knob import Knob, KnobKind

KINDS: tuple[KnobKind, ...] = ("channels", "weight_bits", "input_bits")
"""The entries of an action, in this order; a search of widths alone has the first one only."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One step: the knobs of one layer that no earlier step has turned."""

    layer: str
    """Makes the channels, or has the bits."""
    knobs: tuple[int | None, ...]
    """For each of `KINDS` the place of a knob in `problem.knobs`; None where there is nothing to decide."""


def decisions(graph: ModelGraph, knobs: Sequence[Knob]) -> tuple[Decision, ...]:
    """Every knob once, in the order of the network's layers.

    Layers that share a knob decide it where the first of them stands. A group whose drop takes others along comes
    before these, so that nothing is decided which a later step undoes.

    Args:
        graph: The network.
        knobs: Those of its search space.
    """
    kinds = KINDS if any(knob.kind != "channels" for knob in knobs) else KINDS[:1]
    pending = dict.fromkeys(range(len(knobs)))
    found = []
    for layer in _layers(graph):
        concerned = [k for k in pending if _concerns(graph, knobs[k], layer)]
        mine = {kind: [k for k in concerned if knobs[k].kind == kind] for kind in kinds}
        # A layer whose outputs are channels of several groups takes a step for each.
        for step in range(max(map(len, mine.values()))):
            chosen = tuple(mine[kind][step] if step < len(mine[kind]) else None for kind in kinds)
            found.append(Decision(layer, chosen))
        for k in concerned:
            del pending[k]
    return tuple(found)


def _concerns(graph: ModelGraph, knob: Knob, layer: str) -> bool:
    if knob.kind == "channels":
        return layer in next(group.producers for group in graph.prunable if group.name == knob.target)
    return layer == knob.target or layer in knob.tied


def _layers(graph: ModelGraph) -> Iterator[str]:
    """Names of the layers, those that make a branch's last channels before those that make its inner ones."""
    seen: set[str] = set()
    for layer in graph.layers:
        inner = [group.name for group in graph.prunable if layer.name in group.producers]
        outer = [group for group in graph.prunable if set(group.drops) & set(inner)]
        for name in (*(_first(graph, group) for group in outer), layer.name):
            if name not in seen:
                seen.add(name)
                yield name


def _first(graph: ModelGraph, group: ChannelGroup) -> str:
    return next(layer.name for layer in graph.layers if layer.name in group.producers)
