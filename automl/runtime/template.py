"""An ONNX graph whose sizes are functions of the channels kept.

A policy's graph is written from it in milliseconds, where torch's exporter takes seconds. Weights have no meaning: how
long a network takes does not depend on them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from automl.core.errors import ExportError
from automl.core.graph import Extent, ModelGraph

_LARGE = 512
"""Values of a weight that is better made when the file is loaded. Vectors are not: OpenVINO computes a layer in
integers only where it can read its scales."""
_SIZED = onnx.TensorProto.INT64
"""Type of constants that hold sizes, where they have one dimension at most."""


@dataclass(frozen=True, slots=True, repr=False)
class Sample:
    """A graph, and the channels at which it was exported."""

    channels: Mapping[str, int]
    """Channel group -> channels kept, above 0; every prunable group."""
    proto: onnx.ModelProto


@dataclass(frozen=True, slots=True, repr=False)
class _Constant:
    """A constant, and the sizes of its dimensions; or the sizes that it holds."""

    tensor: onnx.TensorProto
    shape: tuple[Extent, ...]
    held: tuple[Extent, ...] | None
    """What its values are; None where these are no sizes."""


class GraphTemplate:
    """Writes the graph of any policy that drops no branch."""

    def __init__(self, graph: ModelGraph, samples: Sequence[Sample]) -> None:
        """Finds what each size of the graph depends on.

        Args:
            graph: Has the sizes that there are.
            samples: The whole network, and others of different widths in every group; nodes of all in the same order.

        Raises:
            ExportError: If the samples differ in more than sizes, or a size is none of `graph`.
        """
        self._extents = _Extents(graph, samples)
        self._proto = onnx.ModelProto()
        self._proto.CopyFrom(samples[0].proto)
        graphs = [sample.proto.graph for sample in samples]
        if len({tuple(node.op_type for node in each.node) for each in graphs}) > 1:
            raise ExportError("Graphs of one network must have the same operators at every width, but they differ.")
        tensors = [{tensor.name: tensor for tensor in each.initializer} for each in graphs]
        self._groups: dict[int, Extent] = {}
        self._constants: dict[str, _Constant] = {}
        for place, nodes in enumerate(zip(*(each.node for each in graphs), strict=True)):
            self._note_groups(place, nodes)
            self._note_constants(place, nodes, tensors)
        del self._proto.graph.initializer[:], self._proto.graph.value_info[:]

    def at(self, channels: Mapping[str, int]) -> onnx.ModelProto:
        """The graph with `channels[group]` channels of every prunable group."""
        proto = onnx.ModelProto()
        proto.CopyFrom(self._proto)
        for place, extent in self._groups.items():
            attribute = next(each for each in proto.graph.node[place].attribute if each.name == "group")
            attribute.i = extent.size(channels)
        makers: list[onnx.NodeProto] = []
        for name, constant in self._constants.items():
            if constant.held is not None:
                sizes = np.array([extent.size(channels) for extent in constant.held])
                kind = numpy_helper.to_array(constant.tensor)
                tensor = numpy_helper.from_array(sizes.astype(kind.dtype).reshape(kind.shape), name)
            else:
                shape = [extent.size(channels) for extent in constant.shape]
                if len(shape) > 1 and math.prod(shape) > _LARGE:
                    tensor, maker = _filled(name, shape, constant.tensor.data_type)
                    makers.append(maker)
                else:
                    tensor = _repeated(name, shape, constant.tensor)
            proto.graph.initializer.append(tensor)
        nodes = [*makers, *proto.graph.node]
        del proto.graph.node[:]
        proto.graph.node.extend(nodes)
        return proto

    def _note_groups(self, place: int, nodes: Sequence[onnx.NodeProto]) -> None:
        found = [next((each.i for each in node.attribute if each.name == "group"), 1) for node in nodes]
        if any(group != found[0] for group in found):
            self._groups[place] = self._extents.of(found)

    def _note_constants(
        self, place: int, nodes: Sequence[onnx.NodeProto], tensors: Sequence[Mapping[str, onnx.TensorProto]]
    ) -> None:
        """Gives each constant that a node reads a name of its own: samples may share others than this one."""
        for slot, name in enumerate(nodes[0].input):
            if name not in tensors[0]:
                continue
            read = [known[node.input[slot]] for known, node in zip(tensors, nodes, strict=True)]
            own = f"{name}@{place}.{slot}"
            self._constants[own] = _Constant(read[0], tuple(self._shapes(read)), self._held(read))
            self._proto.graph.node[place].input[slot] = own

    def _shapes(self, read: Sequence[onnx.TensorProto]) -> Iterator[Extent]:
        return (self._extents.of(sizes) for sizes in zip(*(tensor.dims for tensor in read), strict=True))

    def _held(self, read: Sequence[onnx.TensorProto]) -> tuple[Extent, ...] | None:
        if read[0].data_type != _SIZED or len(read[0].dims) > 1:
            return None
        values = [numpy_helper.to_array(tensor).reshape(-1).tolist() for tensor in read]
        return tuple(self._extents.of(sizes) for sizes in zip(*values, strict=True))


class _Extents:
    """The sizes of a network, to be found by what they are in each sample."""

    def __init__(self, graph: ModelGraph, samples: Sequence[Sample]) -> None:
        whole = {group.name: group.channels for group in graph.groups}
        self._kept = [{**whole, **sample.channels} for sample in samples]
        self._known: dict[tuple[int, ...], Extent] = {}
        for extent in _all_extents(graph):
            self._known.setdefault(self._sizes(extent), extent)

    def of(self, sizes: Sequence[int]) -> Extent:
        """The extent that has these sizes in the samples."""
        if all(size == sizes[0] for size in sizes):
            return Extent(int(sizes[0]))
        extent = self._known.get(tuple(sizes))
        if extent is None:
            raise ExportError(
                f"Each size of a graph must follow the channel groups, but one is {list(sizes)} where none is expected."
            )
        return extent

    def _sizes(self, extent: Extent) -> tuple[int, ...]:
        return tuple(extent.size(kept) for kept in self._kept)


def _all_extents(graph: ModelGraph) -> Iterator[Extent]:
    for layer in graph.layers:
        yield from (layer.outputs, layer.inputs, layer.filter_inputs)
    for tensor in graph.tensors:
        yield from tensor.extents


def _filled(name: str, shape: Sequence[int], kind: int) -> tuple[onnx.TensorProto, onnx.NodeProto]:
    """A constant of equal values, made at load; weights as large as keep what flows through them in range."""
    exact = onnx.TensorProto.FLOAT
    value = 1.0 / max(math.prod(shape[1:]), 1) if kind == exact else 1
    size = numpy_helper.from_array(np.array(shape, np.int64), f"{name}:shape")
    filler = helper.make_tensor("value", kind, [1], [value])
    return size, helper.make_node("ConstantOfShape", [size.name], [name], value=filler)


def _repeated(name: str, shape: Sequence[int], tensor: onnx.TensorProto) -> onnx.TensorProto:
    """The values of `tensor`, cut or repeated to another shape."""
    values: NDArray[np.generic] = np.resize(numpy_helper.to_array(tensor), tuple(shape))
    return numpy_helper.from_array(values, name)
