"""Where each channel of each group sits in the network's tensors; what surgery needs beside the graph."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.core.graph import ModelGraph

FIXED = -1
"""Marks an entry that no policy removes."""


@dataclass(frozen=True, slots=True)
class ChannelMap:
    """Units are the channels of all prunable groups, numbered through in the order of `graph.prunable`."""

    units: Mapping[tuple[str, int], NDArray[np.int64]]
    """(key in `state_dict()`, dimension) -> unit of each entry, or `FIXED`; only dimensions that can change."""
    first_unit: Mapping[str, int]
    """Group -> number of its first unit."""
    channels: Mapping[str, int]
    """Group -> channels in the dense network."""

    @property
    def count(self) -> int:
        """Units in all."""
        return sum(self.channels.values())

    def group_units(self, group: str) -> slice:
        """The units of one group."""
        return slice(self.first_unit[group], self.first_unit[group] + self.channels[group])


@dataclass(frozen=True, slots=True)
class TracedModel:
    """What tracing knows of one network."""

    graph: ModelGraph
    channel_map: ChannelMap
