"""The cost of a policy in closed form: no network is built to price one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.core.cost import Cost
from automl.core.graph import Extent, Layer, ModelGraph
from automl.core.policy import CompressionPolicy, checked_policy
from automl.core.quadratic import QuadraticForm

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


class AnalyticCostModel:
    """MACs, parameters, bytes and BOPs of every policy of one graph; satisfies `core.cost.CostModel`.

    Counts convolution and linear multiply-adds only, as torchvision's model cards do.
    """

    def __init__(self, graph: ModelGraph) -> None:
        """Compiles `graph` into four quadratic forms."""
        self._graph = graph
        self._groups = [group.name for group in graph.prunable]
        macs = [Product(_filter_macs(layer), layer.outputs, layer.filter_inputs) for layer in graph.layers]
        params = [_product(t.extents, 1.0) for t in graph.tensors if t.learned]
        stored = [_product(t.extents, float(t.value_bytes)) for t in graph.tensors]
        structure = Product(float(STRUCTURE_BYTES_PER_LAYER * len(graph.layers)), Extent(1), Extent(1))
        macs_form = _form(macs, self._groups)
        self._forms = (
            macs_form,
            _form(params, self._groups),
            _form([*stored, structure], self._groups),
            macs_form.scaled(float(_FLOAT_BITS * _FLOAT_BITS)),
        )

    @property
    def graph(self) -> ModelGraph:
        """The graph whose policies this prices."""
        return self._graph

    @property
    def forms(self) -> tuple[QuadraticForm, ...]:
        """MACs, parameters, bytes and BOPs as functions of the widths."""
        return self._forms

    def __call__(self, policy: CompressionPolicy) -> Cost:
        """The cost of `policy`; raises `PolicyError` where it does not fit the graph."""
        kept = checked_policy(self._graph, policy).channels
        row = self.table(np.array([[kept[name] for name in self._groups]], dtype=np.int64))[0]
        macs, params, size_bytes, bops = (round(value) for value in row.tolist())
        return Cost(macs=macs, params=params, size_bytes=size_bytes, bops=bops)

    def table(self, widths: NDArray[np.int64]) -> NDArray[np.float64]:
        """Costs of shape `(policies, 4)`: MACs, parameters, bytes, BOPs."""
        values = widths.astype(np.float64)
        return np.stack([form(values) for form in self._forms], axis=1)


def _form(products: Sequence[Product], groups: Sequence[str]) -> QuadraticForm:
    """The sum of `products`; `groups` fixes the order of the widths."""
    scale = np.array([product.scale for product in products], dtype=np.float64)
    first = _affine([product.first for product in products], groups)
    second = _affine([product.second for product in products], groups)
    crossed = (first * scale) @ second.T  # [1 + groups, 1 + groups]; row and column 0 are the fixed parts
    pairs = np.triu(crossed) + np.triu(crossed.T, 1)
    return QuadraticForm(float(pairs[0, 0]), pairs[0, 1:], pairs[1:, 1:])


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
