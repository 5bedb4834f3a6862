"""The widths that one channel group may take."""

from search_spaces.rules import WidthRule


def channel_choices(channels: int, rule: WidthRule) -> tuple[int, ...]:
    """Multiples of the rule's `multiple` from its floor up, then `channels` itself.

    Args:
        channels: Channels of the group in the dense network.
        rule: Rounding and floor.
    """
    floor = min(channels, max(1, rule.multiple, round(rule.least_ratio * channels)))
    first = -(-floor // rule.multiple) * rule.multiple
    return (*range(first, channels, rule.multiple), channels)
