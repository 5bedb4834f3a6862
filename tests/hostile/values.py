"""Text that is no JSON of ours, and JSON with one place of it changed."""

import json
from typing import Any

from hypothesis import strategies as st

NO_JSON = {
    "empty": b"",
    "blank": b" \n",
    "text": b"hello",
    "half": b'{"schema": 2, "format": "automl-pol',
    "tail": b"{} {}",
    "not utf-8": b"\xff\xfe\x00{}",
    "zeros": b"\x00" * 100,
    "deep list": b"[" * 100_000,
    "deep and whole": b"[" * 50_000 + b"]" * 50_000,
    "deep object": b'{"a":' * 100_000,
    "nan": b'{"schema": NaN, "format": NaN}',
    "infinity": b'{"schema": -Infinity}',
    "overflow": b'{"schema": 1e999}',
    "digits": b'{"schema": ' + b"9" * 5000 + b"}",
    "beyond 64 bits": b'{"schema": 18446744073709551616}',
    "twice": b'{"schema": 2, "schema": 2}',
    "pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    "a list": b"[]",
    "a number": b"3",
    "null": b"null",
    "a string": b'"automl-policy/1"',
    "an empty object": b"{}",
    "html": b"<!DOCTYPE html><script>alert(1)</script>",
}
"""Name -> content."""

_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\x1b[2J", "<b>", "../x", "evil:net", "\ud800", "0", "nan"])
)
VALUES = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner))


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """`value` with something else in one place of it, or without that place."""
    whole = json.loads(json.dumps(value))
    at = whole
    while True:
        places = list(at) if isinstance(at, dict) else list(range(len(at)))
        place = draw(st.sampled_from(places))
        deeper = isinstance(at[place], dict | list) and len(at[place]) > 0
        if deeper and draw(st.integers(0, 3)):
            at = at[place]
        elif draw(st.booleans()):
            at[place] = draw(VALUES)
            return whole
        else:
            del at[place]
            return whole
