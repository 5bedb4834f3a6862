"""A graph that is being rewritten: its nodes, its constants, and who makes and reads a tensor."""

import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


class GraphParts:
    """Edits a graph; `write` puts the result into it."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        """Takes the graph, with the shapes of its tensors."""
        self._graph = graph
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        shapes = (*graph.value_info, *graph.input, *graph.output)
        self._ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in shapes}
        self._makers: dict[str, onnx.NodeProto] = {}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        self._shared: dict[tuple[str, bytes], str] = {}
        self._names = 0
        for node in list(graph.node):
            self.add(node)

    def of(self, operator: str) -> list[onnx.NodeProto]:
        """The nodes of one operator."""
        return [node for node in self._nodes() if node.op_type == operator]

    def array(self, name: str) -> NDArray | None:  # type: ignore[type-arg]
        """The constant `name`; None where it is none."""
        tensor = self._constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def rank(self, name: str) -> int | None:
        """Number of dimensions; None where it is unknown."""
        return self._ranks.get(name)

    def maker(self, name: str) -> onnx.NodeProto | None:
        """The node that makes a tensor; None for constants and the input."""
        return self._makers.get(name)

    def readers(self, name: str) -> list[onnx.NodeProto]:
        """The nodes that read a tensor."""
        return self._readers.get(name, [])

    def add(self, *nodes: onnx.NodeProto) -> None:
        """Adds nodes, in any order."""
        for node in nodes:
            self._makers.update(dict.fromkeys(node.output, node))
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def remove(self, node: onnx.NodeProto) -> None:
        """Removes a node; another one is to make what it made."""
        for name in node.output:
            del self._makers[name]
        for name in node.input:
            self._readers[name] = [reader for reader in self._readers[name] if reader is not node]

    def rewire(self, node: onnx.NodeProto, place: int, name: str) -> None:
        """Lets a node read another tensor."""
        self.remove(node)
        node.input[place] = name
        self.add(node)

    def new_name(self) -> str:
        """A name that no tensor has."""
        self._names += 1
        return f"new/{self._names}"

    def constant(self, array: NDArray) -> str:  # type: ignore[type-arg]
        """Adds a constant, or finds the one scalar that is equal."""
        return self._keep(numpy_helper.from_array(array, self.new_name()))

    def packed(self, array: NDArray) -> str:  # type: ignore[type-arg]
        """Adds a constant of 4-bit integers, two in a byte."""
        packed = helper.make_tensor(self.new_name(), onnx.TensorProto.INT4, array.shape, array.reshape(-1))
        return self._keep(numpy_helper.from_array(numpy_helper.to_array(packed), packed.name))

    def write(self) -> None:
        """Puts nodes and constants into the graph: makers before readers, and only what is read."""
        nodes = self._sorted()
        read = {name for node in nodes for name in node.input} | {value.name for value in self._graph.output}
        constants = [tensor for tensor in self._constants.values() if tensor.name in read]
        del self._graph.node[:], self._graph.initializer[:]
        self._graph.node.extend(nodes)
        self._graph.initializer.extend(constants)

    def _keep(self, tensor: onnx.TensorProto) -> str:
        if not tensor.dims:
            kind = f"{tensor.data_type}"
            name = self._shared.setdefault((kind, tensor.raw_data), tensor.name)
            if name != tensor.name:
                return name
        self._constants[tensor.name] = tensor
        return tensor.name

    def _nodes(self) -> list[onnx.NodeProto]:
        """In the order in which they were added."""
        return list({id(node): node for node in self._makers.values()}.values())

    def _sorted(self) -> list[onnx.NodeProto]:
        done: dict[int, onnx.NodeProto] = {}
        for last in self._nodes():
            waiting = [last]
            while waiting:
                node = waiting[-1]
                before = [self._makers[name] for name in node.input if name in self._makers]
                missing = [maker for maker in before if id(maker) not in done]
                waiting.extend(missing)
                if not missing:
                    done[id(waiting.pop())] = node
        return list(done.values())
