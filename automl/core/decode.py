"""Values that anybody may have written as JSON, as the types that we write them from."""

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

_Kind = TypeVar("_Kind")
_MOST_INTEGER = 2**63


def decoded(kind: type[_Kind], value: Any) -> _Kind:
    """`value` as a `kind`, with lists as tuples.

    Args:
        kind: A dataclass of numbers, texts, tuples, mappings, `Literal`s, enumerations and other such dataclasses, or
            one of these.
        value: What a JSON reader gave.

    Raises:
        ValueError: If it is anything else; so are NaN, infinity and integers beyond 64 bits, which we never write.
    """
    return cast(_Kind, _decoded(kind, value))


def _decoded(hint: Any, value: Any) -> Any:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return None if value is None and type(None) in parts else _decoded(parts[0], value)
    if origin is Literal:
        return next((each for each in parts if type(each) is type(value) and each == value), None) or _refuse(
            hint, value
        )
    if origin is tuple:
        return _tuple(hint, parts, value)
    if origin in (dict, Mapping):
        entries = value if isinstance(value, dict) else _refuse(hint, value)
        return {_decoded(parts[0], name): _decoded(parts[1], each) for name, each in entries.items()}
    if is_dataclass(hint):
        return _dataclass(hint, value)
    if issubclass(hint, Enum):
        return hint(value)
    return _plain(hint, value)


def _tuple(hint: Any, parts: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        _refuse(hint, value)
    kinds = parts[:1] * len(value) if parts[1:] == (...,) else parts
    if len(kinds) != len(value):
        _refuse(hint, value)
    return tuple(_decoded(kind, each) for kind, each in zip(kinds, value, strict=True))


def _dataclass(kind: Any, value: Any) -> Any:
    entries = value if isinstance(value, dict) else _refuse(kind, value)
    hints, needed = _layout(kind)
    wrong = sorted((set(entries) - set(hints)) | (needed - set(entries)), key=str)
    if wrong:
        raise ValueError(f"a {kind.__name__} has {', '.join(hints)}, but {wrong[0]!r} is missing or not among them")
    return kind(**{name: _decoded(hints[name], each) for name, each in entries.items()})


@cache
def _layout(kind: Any) -> tuple[dict[str, Any], frozenset[str]]:
    """The annotations of a dataclass, and the fields that have no default."""
    needed = (each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING)
    return get_type_hints(kind), frozenset(needed)


def _plain(kind: Any, value: Any) -> Any:
    if type(value) is int and kind in (int, float) and abs(value) < _MOST_INTEGER:
        return kind(value)
    if type(value) is kind and not (kind is int or (kind is float and not math.isfinite(value))):
        return value
    return _refuse(kind, value)


def _refuse(kind: Any, value: Any) -> Any:
    raise ValueError(f"{str(value)[:80]!r} is no {getattr(kind, '__name__', kind)}")
