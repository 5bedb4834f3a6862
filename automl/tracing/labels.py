"""Channel labels: which entries of which tensors are the same channel.

Every channel that a layer makes gets a label. Labels travel with the activations through the forward pass; operators
that combine channels link their labels, and operators that cannot lose channels pin them. Linked labels are removed
together or not at all.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

Dimension = tuple[str, int]
"""(key in `state_dict()`, dimension)."""


def compact(labels: Tensor) -> Tensor:
    """`labels` with every dimension along which it is constant expanded from size 1, so that it takes little memory."""
    base = channels_of(labels)
    for dim in range(base.ndim):
        first = base.narrow(dim, 0, 1)
        if base.shape[dim] > 1 and bool((base == first).all()):
            base = first
    return base.expand(labels.shape)


def channels_of(labels: Tensor) -> Tensor:
    """`labels` narrowed to size 1 along its expanded dimensions."""
    for dim, stride in enumerate(labels.stride()):
        if stride == 0:
            labels = labels.narrow(dim, 0, 1)
    return labels


def along(labels: Tensor, dim: int) -> NDArray[np.int64] | None:
    """The labels along `dim`, of shape `(size,)`; None where they also change along another dimension."""
    base = channels_of(labels)
    if any(size > 1 for index, size in enumerate(base.shape) if index != dim % labels.ndim):
        return None
    return np.broadcast_to(base.reshape(-1).numpy(), (labels.shape[dim],))


@dataclass
class LabelBook:
    """Labels given out, the links among them, and those that must stay."""

    count: int = 0
    links: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = field(default_factory=list)
    pins: list[tuple[NDArray[np.int64], str]] = field(default_factory=list)
    dimensions: dict[Dimension, NDArray[np.int64]] = field(default_factory=dict)
    """Labels of each entry of a tensor's dimension."""
    whole: dict[str, str] = field(default_factory=dict)
    """Tensors whose every dimension must stay, with the reason."""

    def fresh(self, size: int) -> NDArray[np.int64]:
        """`size` labels never given out before."""
        start, self.count = self.count, self.count + size
        return np.arange(start, self.count, dtype=np.int64)

    def pinned(self, reason: str) -> int:
        """One new label that no policy removes."""
        label = self.fresh(1)
        self.pin(label, reason)
        return int(label[0])

    def link(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> None:
        """Removes `first[i]` and `second[i]` together."""
        pairs = np.unique(np.stack([first.ravel(), second.ravel()]), axis=1)
        self.links.append((pairs[0], pairs[1]))

    def pin(self, labels: NDArray[np.int64] | Tensor, reason: str) -> None:
        """Keeps `labels` in every policy."""
        values = channels_of(labels).numpy() if isinstance(labels, Tensor) else labels
        self.pins.append((np.unique(values), reason))

    def bind(self, dimension: Dimension, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ties a tensor's dimension to `labels`; a second use of the tensor links both uses."""
        known = self.dimensions.setdefault(dimension, labels)
        if known is not labels:
            self.link(known, labels)
        return known

    def components(self) -> tuple[NDArray[np.int64], dict[int, str]]:
        """Resolves links and pins.

        Returns:
            The component of each label, and the first reason given for each component that must stay.
        """
        empty = np.empty(0, dtype=np.int64)
        rows = np.concatenate([first for first, _ in self.links]) if self.links else empty
        columns = np.concatenate([second for _, second in self.links]) if self.links else empty
        graph = coo_array((np.ones(rows.size, dtype=np.int8), (rows, columns)), shape=(self.count, self.count))
        component = np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
        reasons: dict[int, str] = {}
        whole = [(labels, self.whole[name]) for (name, _), labels in self.dimensions.items() if name in self.whole]
        for labels, reason in [*self.pins, *whole]:
            for pinned in np.unique(component[labels]).tolist():
                reasons.setdefault(pinned, reason)
        return component, reasons


def expanded(vector: NDArray[np.int64] | int, shape: torch.Size, dim: int) -> Tensor:
    """Labels of a tensor of `shape` that change along `dim` only."""
    if isinstance(vector, int):
        return torch.tensor(vector, dtype=torch.int64).expand(shape)
    sizes = [1] * len(shape)
    sizes[dim] = vector.size
    return torch.from_numpy(np.array(vector)).reshape(sizes).expand(shape)
