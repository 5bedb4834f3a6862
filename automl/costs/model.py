"""The cost of a policy in closed form: no network is built to price one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.core.cost import Cost
from automl.core.graph import Extent, Layer, ModelGraph
from automl.core.policy import CompressionPolicy, checked_policy

_FLOAT_BITS = 32
STRUCTURE_BYTES_PER_LAYER = 400
"""What an ONNX file says of a layer beside its weights, about, as `export` writes it.

Together with the batch-norm tensors, which the export folds away, this bounds the size of the file from above;
`tests/automl/export/test_recount.py` holds the smallest policies of several families against it.
"""


@dataclass(frozen=True, slots=True)
class Product:
    """A scale and the two dimensions that a policy can change; their product is one summand of a cost."""

    scale: float
    first: Extent
    second: Extent


class BilinearSum:
    """`sum(scale * first(widths) * second(widths))`, for many width vectors at once."""

    def __init__(self, products: Iterable[Product], groups: Sequence[str]) -> None:
        """Compiles the summands into matrices; `groups` fixes the order of the widths."""
        listed = list(products)
        self._scale = np.array([product.scale for product in listed], dtype=np.float64)
        self._first = _affine([product.first for product in listed], groups)
        self._second = _affine([product.second for product in listed], groups)

    def __call__(self, widths: NDArray[np.int64]) -> NDArray[np.float64]:
        """The sums, of shape `(policies,)`, for `widths` of shape `(policies, groups)`."""
        first = widths @ self._first[1:] + self._first[0]  # [policies, summands]
        second = widths @ self._second[1:] + self._second[0]
        return np.asarray((first * second) @ self._scale, dtype=np.float64)


class AnalyticCostModel:
    """MACs, parameters, bytes and BOPs of every policy of one graph; satisfies `core.cost.CostModel`.

    Counts convolution and linear multiply-adds only, as torchvision's model cards do.
    """

    def __init__(self, graph: ModelGraph) -> None:
        """Compiles `graph` into four bilinear forms."""
        self._graph = graph
        self._groups = [group.name for group in graph.prunable]
        macs = [Product(_filter_macs(layer), layer.outputs, layer.filter_inputs) for layer in graph.layers]
        params = [_product(t.extents, 1.0) for t in graph.tensors if t.learned]
        stored = [_product(t.extents, float(t.value_bytes)) for t in graph.tensors]
        self._macs = BilinearSum(macs, self._groups)
        self._params = BilinearSum(params, self._groups)
        structure = Product(float(STRUCTURE_BYTES_PER_LAYER * len(graph.layers)), Extent(1), Extent(1))
        self._size_bytes = BilinearSum([*stored, structure], self._groups)

    @property
    def graph(self) -> ModelGraph:
        """The graph whose policies this prices."""
        return self._graph

    def __call__(self, policy: CompressionPolicy) -> Cost:
        """The cost of `policy`; raises `PolicyError` where it does not fit the graph."""
        kept = checked_policy(self._graph, policy).channels
        row = self.table(np.array([[kept[name] for name in self._groups]], dtype=np.int64))[0]
        macs, params, size_bytes, bops = (round(value) for value in row.tolist())
        return Cost(macs=macs, params=params, size_bytes=size_bytes, bops=bops)

    def table(self, widths: NDArray[np.int64]) -> NDArray[np.float64]:
        """Costs of shape `(policies, 4)`: MACs, parameters, bytes, BOPs."""
        macs = self._macs(widths)
        columns = [macs, self._params(widths), self._size_bytes(widths), macs * _FLOAT_BITS * _FLOAT_BITS]
        return np.stack(columns, axis=1)


def _affine(extents: Sequence[Extent], groups: Sequence[str]) -> NDArray[np.float64]:
    """Shape `(1 + groups, extents)`: the fixed part, then the entries per kept channel of each group."""
    row = {name: index + 1 for index, name in enumerate(groups)}
    matrix = np.zeros((len(groups) + 1, len(extents)), dtype=np.float64)
    for column, extent in enumerate(extents):
        matrix[0, column] = extent.fixed
        for name, entries in extent.terms:
            matrix[row[name], column] += entries
    return matrix


def _filter_macs(layer: Layer) -> float:
    return float(layer.positions * layer.kernel[0] * layer.kernel[1])


def _product(extents: Sequence[Extent], scale: float) -> Product:
    """Folds the dimensions that no policy changes into the scale."""
    variable = [extent for extent in extents if extent.terms]
    for extent in extents:
        if not extent.terms:
            scale *= extent.fixed
    # Tracing pins tensors that would vary in three dimensions, so two factors are always enough.
    first, second = [*variable, Extent(1), Extent(1)][:2]
    return Product(scale, first, second)
