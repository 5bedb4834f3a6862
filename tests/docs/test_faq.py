"""The questions page has every error, with its exit code, and quotes messages that the code can say."""

import ast
import inspect
import re
from functools import cache

import pytest

from automl.core import errors
from automl.core.errors import AutoMLError
from tests.docs.pages import ROOT, text_of

ERRORS = {name: each for name, each in vars(errors).items() if inspect.isclass(each) and issubclass(each, AutoMLError)}
_LEAST_WORDS = 4
"""Of a message's own, in a template that counts: `f"{error}"` would fit everything."""


def sections() -> dict[str, str]:
    parts = re.split(r"^### `(\w+)`\n", text_of("faq.md"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def quotes(section: str) -> list[str]:
    found = re.findall(r"(?:^> .*\n)+", section, flags=re.MULTILINE)
    return [" ".join(quote.replace("> ", "", 1).replace("\n> ", " ").split()) for quote in found]


@cache
def templates() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """(error, what its message looks like) of every place in the code that makes one."""
    calls = (
        node
        for top in ("automl", "envs", "search_spaces")
        for file in (ROOT / top).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS and node.args
    )
    found = ((ast.unparse(call.func), template(call.args[0])) for call in calls)
    return tuple((error, re.compile(pattern)) for error, pattern in found if pattern is not None)


def template(message: ast.expr) -> str | None:
    parts = message.values if isinstance(message, ast.JoinedStr) else [message]
    words = [str(part.value) if isinstance(part, ast.Constant) else None for part in parts]
    if sum(len(word.split()) for word in words if word is not None) < _LEAST_WORDS:
        return None
    return "".join(".*" if word is None else re.sub(r"(\\ )+", r"\\s+", re.escape(word)) for word in words)


def test_every_error_has_its_section_and_its_exit_code() -> None:
    found = sections()
    assert set(found) == set(ERRORS)
    for name, section in found.items():
        assert f"Exit code {ERRORS[name].exit_code}." in section, name


@pytest.mark.parametrize("name", ERRORS)
def test_what_is_quoted_can_be_said(name: str) -> None:
    patterns = [pattern for error, pattern in templates() if error == name]
    quoted = quotes(sections()[name])
    assert quoted
    for quote in quoted:
        assert any(pattern.fullmatch(quote) for pattern in patterns), quote
