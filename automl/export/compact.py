"""Makes the structure of an ONNX file small: in a network of narrow layers it outweighs them."""

import onnx

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SMALL = 64
"""Bytes of a constant that may have an equal."""
_ONES = ("strides", "dilations")


def compact(proto: onnx.ModelProto) -> None:
    """Drops what readers do not need, and shortens the names of tensors; nodes keep theirs.

    Args:
        proto: It is changed; the names of its input and output stay.
    """
    graph = proto.graph
    del graph.value_info[:], graph.metadata_props[:], proto.metadata_props[:]
    graph.name, graph.doc_string = "g", ""
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    version = next(opset.version for opset in proto.opset_import if opset.domain == "")
    for node in graph.node:
        _drop_defaults(node, version)
    _share_constants(graph)
    _rename(graph)


def _drop_defaults(node: onnx.NodeProto, version: int) -> None:
    if node.domain:
        return
    known = onnx.defs.get_schema(node.op_type, version).attributes
    kept = [each for each in node.attribute if not _is_default(each, known[each.name].default_value)]
    if node.op_type == "Conv":
        # The weights say it as well.
        kept = [each for each in kept if each.name != "kernel_shape"]
    del node.attribute[:]
    node.attribute.extend(kept)


def _is_default(attribute: onnx.AttributeProto, default: onnx.AttributeProto) -> bool:
    if attribute.name in _ONES:  # defaults that depend on the rank are not in the schema
        return set(attribute.ints) == {1}
    if attribute.name == "pads" and attribute.ints:
        return set(attribute.ints) == {0}
    return default.type == attribute.type and onnx.helper.get_attribute_value(
        default
    ) == onnx.helper.get_attribute_value(attribute)


def _share_constants(graph: onnx.GraphProto) -> None:
    """Leaves one of equal small constants, such as a zero point or the sizes of a reshape."""
    first: dict[bytes, str] = {}
    twins: dict[str, str] = {}
    for tensor in graph.initializer:
        if tensor.ByteSize() > _SMALL:
            continue
        nameless = onnx.TensorProto()
        nameless.CopyFrom(tensor)
        nameless.name = ""
        name = first.setdefault(nameless.SerializeToString(), tensor.name)
        if name != tensor.name:
            twins[tensor.name] = name
    for node in graph.node:
        node.input[:] = [twins.get(name, name) for name in node.input]
    kept = [tensor for tensor in graph.initializer if tensor.name not in twins]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _rename(graph: onnx.GraphProto) -> None:
    """Counts the tensors in the order of the nodes, and names them by that."""
    names = {value.name: value.name for value in (*graph.input, *graph.output)}
    taken, number = set(names), 0
    for name in [name for node in graph.node for name in (*node.input, *node.output)]:
        if name and name not in names:
            while (short := _short(number)) in taken:
                number += 1
            names[name], number = short, number + 1
    names[""] = ""
    for node in graph.node:
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    for tensor in graph.initializer:
        tensor.name = names[tensor.name]


def _short(number: int) -> str:
    text = _DIGITS[number % len(_DIGITS)]
    while number := number // len(_DIGITS):
        text = _DIGITS[number % len(_DIGITS)] + text
    return text
