"""Where a network's activations are quantized, and which layers that concerns.

An integer kernel reads quantized tensors and makes one. So a tensor gets a quantizer where a convolution, a linear
layer, an addition, a concatenation or a pooling reads it, and where one of them makes it, unless nothing but a
rectifier reads it: runtimes make one kernel of both, and the quantizer is behind it. What only moves values on
(a maximum, a view) has the grid of what it reads. The logits stay in float.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from automl.compress.folding import fold, foldable
from automl.compress.operators import LAYER_OPERATORS, OperatorMode, layer_of, module_of, operator_of
from automl.compress.surgery import slim
from automl.core.graph import ModelGraph, Quantizable
from automl.tracing.channel_map import TracedModel

IMAGES = "images"
"""Key of the network's input."""
_ADDS = {"add", "__add__", "__radd__", "__iadd__", "add_"}
_JOINS = {"cat", "concat", "concatenate"}
_POOLS = {"adaptive_avg_pool2d", "avg_pool2d", "mean"}
_PRODUCTS = {"mul", "__mul__", "__rmul__", "__imul__", "mul_"}
_RECTIFIERS = {"relu", "relu_", "relu6", "hardtanh", "hardtanh_", "clamp", "clamp_"}
_MOVES = {
    "max_pool2d",
    "boolean_dispatch",
    "adaptive_max_pool2d",
    "flatten",
    "reshape",
    "view",
    "squeeze",
    "unsqueeze",
    "permute",
    "transpose",
    "contiguous",
    "dropout",
    "dropout_",
    "dropout2d",
    "chunk",
    "split",
    "__getitem__",
    "pad",
    "to",
    "clone",
    "detach",
    "expand",
    "float",
    "channel_shuffle",
    "pixel_shuffle",
}


@dataclass(frozen=True, slots=True)
class Places:
    """Quantizers of one network; slimmed ones have those that still run."""

    keys: tuple[str, ...]
    """Operators whose output is quantized, in the order of the pass; the images come first."""
    reads: Mapping[str, str]
    """Layer -> the key that it reads; layers that can be quantized, in the order of the pass."""
    tied: tuple[tuple[str, ...], ...]
    """Keys that share one bit-width; every key is in one of them."""
    last: tuple[str, ...]
    """Layers that make the logits."""

    def layers_of(self) -> dict[str, tuple[str, ...]]:
        """Key -> layers that say how many bits it has: those that read it, or a key that is tied to it."""
        readers = {keys: tuple(layer for layer, key in self.reads.items() if key in set(keys)) for keys in self.tied}
        return {key: layers for keys, layers in readers.items() for key in keys}


def with_quantizable(model: nn.Module, traced: TracedModel) -> TracedModel:
    """`traced` with a graph that says where bit-widths can be had.

    Args:
        model: The dense network; it is not changed.
        traced: What tracing knows of it.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    images = torch.randn(2, *traced.graph.input_shape, generator=torch.Generator().manual_seed(1)).to(device)
    flags = {module: module.training for module in model.modules()}
    model.eval()
    try:
        norms = foldable(model, traced, images)
        places = dense_places(model, traced, norms, images)
    finally:
        for module, flag in flags.items():
            module.training = flag
    return replace(traced, graph=replace(traced.graph, quantizable=_quantizable(traced.graph, places, norms.values())))


def dense_places(model: nn.Module, traced: TracedModel, norms: Mapping[str, str], images: Tensor) -> Places:
    """The quantizers of the dense network, which every network sliced from it has too.

    Args:
        model: In eval mode; it is not changed.
        traced: What tracing knows of it.
        norms: Layer -> the batch norm that is folded into it, from `compress.folding.foldable`.
        images: Shape `(N, C, H, W)`, on the model's device; one is enough.
    """
    network = slim(model, traced.channel_map, {}).eval()
    fold(network, norms)
    return find_places(network, images)


def find_places(network: nn.Module, images: Tensor) -> Places:
    """Runs the network once and finds its quantizers.

    Args:
        network: In eval mode, its batch norms folded.
        images: Shape `(N, C, H, W)`, on the network's device; one is enough.
    """
    recorder = _Recorder(network)
    recorder.start(images)
    with torch.no_grad(), recorder.watching():
        output = network(images)
    recorder.finish(output)
    return _places(recorder.nodes)


@dataclass(slots=True)
class _Node:
    """One tensor of the pass, or several that only move its values."""

    key: str
    readers: list[int] = field(default_factory=list)
    """Nodes made of it."""
    reads: tuple[int, ...] = ()
    layer: str | None = None
    is_output: bool = False


class _Recorder(OperatorMode):
    """Writes down which tensors are made of which."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self._modules = dict(network.named_modules())
        self.nodes: list[_Node] = []
        self._made_by: dict[int, int] = {}
        self._kept: list[Tensor] = []  # an id may come back once its tensor has gone

    def start(self, images: Tensor) -> None:
        self._note(images, self._add(_Node(IMAGES)))

    def finish(self, output: object) -> None:
        for tensor in _tensors(output):
            if id(tensor) in self._made_by:
                self.nodes[self._made_by[id(tensor)]].is_output = True

    def operator(self, key: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        sources = [self._made_by[id(t)] for t in _tensors((args, tuple(kwargs.values()))) if id(t) in self._made_by]
        output = function(*args, **kwargs)
        made = [tensor for tensor in _tensors(output) if tensor.is_floating_point()]
        if not sources or not made:
            return output
        if operator_of(key) in _MOVES:
            index = sources[0]
        else:
            index = self._add(_Node(key, reads=tuple(sources), layer=self._layer(key, args)))
            for source in set(sources):
                self.nodes[source].readers.append(index)
        for tensor in made:
            self._note(tensor, index)
        return output

    def _layer(self, key: str, args: Sequence[Any]) -> str | None:
        name = layer_of(key)
        module = self._modules.get(name or "")
        plain = isinstance(module, nn.Conv2d | nn.Linear) and len(args) > 1 and args[1] is module.weight
        return name if plain else None

    def _add(self, node: _Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def _note(self, tensor: Tensor, index: int) -> None:
        self._made_by[id(tensor)] = index
        self._kept.append(tensor)


def _tensors(value: object) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _tensors(each)


def _integer(node: _Node) -> bool:
    """Whether runtimes have an integer kernel for it."""
    name = operator_of(node.key) if node.key != IMAGES else ""
    several = len(node.reads) > 1
    return name in LAYER_OPERATORS or name in _POOLS or (several and name in _ADDS | _JOINS | _PRODUCTS)


def _places(nodes: Sequence[_Node]) -> Places:
    twice = _repeated(nodes)
    quantized: list[int] = []
    for index, node in enumerate(nodes):
        read = any(_integer(nodes[reader]) for reader in node.readers)
        rectified = all(operator_of(nodes[reader].key) in _RECTIFIERS for reader in node.readers)
        if read or (_integer(node) and node.readers and not rectified):
            quantized.append(index)
    keys = {index: nodes[index].key for index in quantized}
    able = {
        node.layer: keys[node.reads[0]]
        for node in nodes
        if node.layer is not None and node.layer not in twice and node.reads[0] in keys
    }
    return Places(
        keys=tuple(keys.values()),
        reads=able,
        tied=_tied(nodes, keys),
        last=tuple(node.layer for node in nodes if node.layer in able and (node.is_output or not node.readers)),
    )


def _repeated(nodes: Sequence[_Node]) -> set[str]:
    """Layers that run more than once: one bit-width could not say which of their inputs it is about."""
    paths = [module_of(node.key) for node in nodes if node.key != IMAGES and _is_layer(node)]
    return {path for path in paths if paths.count(path) > 1}


def _is_layer(node: _Node) -> bool:
    return operator_of(node.key) in LAYER_OPERATORS


def _tied(nodes: Sequence[_Node], keys: Mapping[int, str]) -> tuple[tuple[str, ...], ...]:
    """Keys by common bit-width: what one addition or concatenation reads."""
    leader = {index: index for index in keys}
    for node in nodes:
        if node.key != IMAGES and operator_of(node.key) in _ADDS | _JOINS:
            read = [index for index in node.reads if index in leader]
            heads = {leader[index] for index in read}
            leader = {index: min(heads) if head in heads else head for index, head in leader.items()}
    return tuple(
        tuple(keys[index] for index, own in leader.items() if own == head) for head in dict.fromkeys(leader.values())
    )


def _quantizable(graph: ModelGraph, places: Places, folded: Iterable[str]) -> Quantizable:
    known = [layer.name for layer in graph.layers if layer.name in places.reads]
    by_key = places.layers_of()
    inputs: dict[tuple[str, ...], None] = {}
    for name in known:
        inputs[tuple(each for each in known if each in set(by_key[places.reads[name]]))] = None
    first = [name for name in known if places.reads[name] == IMAGES]
    return Quantizable(
        layers=tuple(known),
        inputs=tuple(inputs),
        ends=tuple(dict.fromkeys([*first, *places.last])),
        folded=tuple(sorted(folded)),
        activations=len(places.keys),
    )
