"""The cost of a policy in closed form: no network is built to price one."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from automl.core.bits import FLOAT_BITS, BitWidths, stored_bits
from automl.core.budget import METRICS, Metric
from automl.core.cost import BitCosts, Cost
from automl.core.graph import Extent, Layer, ModelGraph, Quantizable
from automl.core.policy import CompressionPolicy, checked_policy
from automl.core.quadratic import QuadraticForm
from automl.costs.product import Product, affine, form_of

STRUCTURE_BYTES_PER_LAYER = 400
"""What an ONNX file says of a layer beside its weights, about, as `export` writes it.

Together with the batch-norm tensors, which the export folds away, this bounds the size of the file from above;
`tests/automl/export/test_recount.py` holds the smallest policies of several families against it.
"""
STRUCTURE_BYTES_PER_QUANTIZED_LAYER = 350
"""The same in a file of integers, where weights and bias have scales."""
STRUCTURE_BYTES_PER_QUANTIZER = 130
"""What the file says of a tensor that is quantized between layers, and of the operator that makes it."""
BYTES_PER_QUANTIZED_OUTPUT = {"conv": 8, "depthwise": 8, "linear": 9}
"""Beside its weights, each output channel of a quantized layer has a bias and a scale, and one of a linear layer a zero
point."""
STORED_BYTES = np.array([stored_bits(bits) / 8 for bits in range(FLOAT_BITS + 1)])
"""Bytes of one weight, by its bits."""


class AnalyticCostModel:
    """MACs, parameters, bytes and BOPs of every policy of one graph, and its latency; satisfies `core.cost.CostModel`.

    Counts convolution and linear multiply-adds only, as torchvision's model cards do.
    """

    def __init__(self, graph: ModelGraph, latency: QuadraticForm | None = None) -> None:
        """Compiles `graph` into quadratic forms.

        Args:
            graph: The network.
            latency: Milliseconds on one device, whatever the bits, in the order of `graph.prunable`; no coefficient may
                be negative. None where no device is known: then there is no such column.
        """
        self._graph = graph
        self._groups = [group.name for group in graph.prunable]
        self._latency = () if latency is None else (latency.on_grid(),)
        macs = [Product(_filter_macs(layer), layer.outputs, layer.filter_inputs) for layer in graph.layers]
        params = [_product(t.extents, 1.0) for t in graph.tensors if t.learned]
        stored = [_product(t.extents, float(t.value_bytes)) for t in graph.tensors]
        structure = Product(float(STRUCTURE_BYTES_PER_LAYER * len(graph.layers)), Extent(1), Extent(1))
        macs_form = form_of(macs, self._groups)
        self._forms = (
            macs_form,
            form_of(params, self._groups),
            form_of([*stored, structure], self._groups),
            macs_form.scaled(float(FLOAT_BITS * FLOAT_BITS)),
            *self._latency,
        )
        self._bit_costs = None if graph.quantizable is None else self._with_bits(graph, graph.quantizable)

    @property
    def graph(self) -> ModelGraph:
        """The graph whose policies this prices."""
        return self._graph

    @property
    def forms(self) -> tuple[QuadraticForm, ...]:
        """MACs, parameters, bytes, BOPs and, where a device is known, milliseconds of float networks."""
        return self._forms

    @property
    def bit_costs(self) -> BitCosts | None:
        """The same for networks with bit-widths."""
        return self._bit_costs

    def __call__(self, policy: CompressionPolicy) -> Cost:
        """The cost of `policy`; raises `PolicyError` where it does not fit the graph."""
        whole = checked_policy(self._graph, policy)
        widths = np.array([[whole.channels[name] for name in self._groups]], dtype=np.int64)
        bits = None
        if whole.bits and self._bit_costs is not None:
            # A layer that went with its branch costs nothing whatever its bits.
            of_layers = (whole.bits.get(name, BitWidths()) for name in self._bit_costs.layers)
            bits = np.array([[(each.weight, each.activation) for each in of_layers]], dtype=np.int64)
        *counts, latency_ms = (*self.table(widths, bits)[0].tolist(), None)[: len(METRICS)]
        macs, params, size_bytes, bops = map(math.ceil, counts)
        return Cost(macs=macs, params=params, size_bytes=size_bytes, bops=bops, latency_ms=latency_ms)

    def table(self, widths: NDArray[np.int64], bits: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """MACs, parameters, bytes, BOPs and, where a device is known, milliseconds; see `core.cost.CostModel`."""
        values = widths.astype(np.float64)
        if bits is None:
            return np.stack([form(values) for form in self._forms], axis=1)
        costs = self._bit_costs
        if costs is None:
            raise ValueError("A network whose graph does not say where bits can be had has no cost with bits")
        table = np.stack([form(values) for form in costs.forms], axis=1)
        whole = np.concatenate([np.ones((len(values), 1)), values], axis=1)
        pairs = (whole @ costs.outputs) * (whole @ costs.inputs)  # [policies, layers]
        table[:, METRICS.index(Metric.SIZE)] += (pairs * costs.values * STORED_BYTES[bits[:, :, 0]]).sum(axis=1)
        table[:, METRICS.index(Metric.BOPS)] += (pairs * costs.macs * bits.prod(axis=2)).sum(axis=1)
        return table

    def _with_bits(self, graph: ModelGraph, quantizable: Quantizable) -> BitCosts:
        able = [layer for layer in graph.layers if layer.name in set(quantizable.layers)]
        rest = [layer for layer in graph.layers if layer.name not in set(quantizable.layers)]
        inside = {f"{layer.name}.weight" for layer in able} | {f"{layer.name}.bias" for layer in able}
        folded = tuple(f"{name}." for name in quantizable.folded)
        others = [t for t in graph.tensors if t.name not in inside and not t.name.startswith(folded)]
        per_output = [Product(float(BYTES_PER_QUANTIZED_OUTPUT[x.kind]), x.outputs, Extent(1)) for x in able]
        structure = STRUCTURE_BYTES_PER_QUANTIZED_LAYER * len(able) + STRUCTURE_BYTES_PER_LAYER * len(rest)
        structure += STRUCTURE_BYTES_PER_QUANTIZER * quantizable.activations
        size = [_product(t.extents, float(t.value_bytes)) for t in others]
        size += [*per_output, Product(float(structure), Extent(1), Extent(1))]
        # Each quantized layer has a bias in the end, whatever it had, and whatever norm went into it.
        biases = [Product(1.0, layer.outputs, Extent(1)) for layer in able]
        weights = [t for t in graph.tensors if t.name in {f"{layer.name}.weight" for layer in able}]
        params = [*biases, *(_product(t.extents, 1.0) for t in (*weights, *others) if t.learned)]
        float_macs = form_of([Product(_filter_macs(x), x.outputs, x.filter_inputs) for x in rest], self._groups)
        return BitCosts(
            forms=(
                self._forms[0],
                form_of(params, self._groups),
                form_of(size, self._groups),
                float_macs.scaled(float(FLOAT_BITS * FLOAT_BITS)),
                *self._latency,
            ),
            layers=tuple(layer.name for layer in able),
            outputs=affine([layer.outputs for layer in able], self._groups),
            inputs=affine([layer.filter_inputs for layer in able], self._groups),
            values=np.array([float(layer.kernel[0] * layer.kernel[1]) for layer in able]),
            macs=np.array([_filter_macs(layer) for layer in able]),
        )


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
