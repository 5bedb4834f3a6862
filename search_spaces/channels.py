"""The widths that one channel group may take."""

from automl.core.graph import ModelGraph
from automl.core.knob import Knob
from search_spaces.rules import WidthRule


def channel_choices(channels: int, rule: WidthRule, *, droppable: bool = False) -> tuple[int, ...]:
    """Multiples of the rule's `multiple` from its floor up, then `channels` itself.

    Args:
        channels: Channels of the group in the dense network.
        rule: Rounding and floor.
        droppable: Whether all channels may go: then 0 comes first, unless the rule says that a share always stays.
    """
    floor = min(channels, max(1, rule.multiple, round(rule.least_ratio * channels)))
    first = -(-floor // rule.multiple) * rule.multiple
    none = (0,) if droppable and rule.least_ratio == 0 else ()
    return (*none, *range(first, channels, rule.multiple), channels)


def channel_knobs(graph: ModelGraph, rule: WidthRule) -> tuple[Knob, ...]:
    """One knob per prunable group of `graph`, with the widths that `rule` allows."""
    return tuple(
        Knob(g.name, "channels", channel_choices(g.channels, rule, droppable=g.droppable)) for g in graph.prunable
    )
