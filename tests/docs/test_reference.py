"""The public names and commands, their docstrings, and what other pages say of them."""

import ast
import inspect
import pkgutil
import re
import shlex
import textwrap
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from automl.cli.main import app
from automl.core.bits import BitChoices
from automl.core.budget import Budget
from automl.core.budget_range import BudgetRange
from automl.search.registry import AGENTS, ENGINES, find_engine
from tests.docs.pages import DOCS, ROOT, text_of

COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
NAMES = re.findall(r"`((?:automl|envs|search_spaces)(?:\.\w+)+)`", text_of("api.md").split("### Python")[1])
WHOLE = (
    "automl.api",
    "automl.pipeline.problem",
    "envs.compression",
    "envs.vector",
    *(f"search_spaces.{path.stem}" for path in sorted((ROOT / "search_spaces").glob("[a-z]*.py"))),
)
"""Modules that hold public functions and classes alone."""
PLAIN = {"sh", "", "console"}


def public_of(owner: Any) -> dict[str, Any]:
    """Functions, properties and classes of a module's or class's own."""
    found = {name: each for name, each in vars(owner).items() if not name.startswith("_")}
    if isinstance(owner, ModuleType):
        return {name: each for name, each in found.items() if getattr(each, "__module__", "") == owner.__name__}
    return {name: each for name, each in found.items() if isinstance(each, property | classmethod) or callable(each)}


def documented() -> Iterator[tuple[str, Callable[..., Any], str]]:
    """(name, function, its docstring and its class's) of everything public that can be called."""
    for name in NAMES:
        each = pkgutil.resolve_name(name)
        if inspect.isfunction(each):
            yield name, each, inspect.getdoc(each) or ""
        elif inspect.isclass(each):
            for method, member in vars(each).items():
                plain = getattr(member, "fget", getattr(member, "__func__", member))
                written = inspect.isfunction(plain) and plain.__code__.co_filename.endswith(".py")
                if written and (not method.startswith("_") or method == "__post_init__"):
                    yield f"{name}.{method}", plain, f"{inspect.getdoc(plain)}\n{inspect.getdoc(each)}"


def raised(function: Callable[..., Any]) -> set[str]:
    """Errors that the body of a function raises by itself."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = (node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise))
    named = {call.func.id for call in calls if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)}
    return {name for name in named if not name.startswith("_")}


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_there_and_says_what_it_is(name: str) -> None:
    each = pkgutil.resolve_name(name)
    if isinstance(each, ModuleType) or inspect.isclass(each) or inspect.isfunction(each):
        assert inspect.getdoc(each)
    if isinstance(each, ModuleType) or inspect.isclass(each):
        silent = [member for member, value in public_of(each).items() if callable(value) and not inspect.getdoc(value)]
        assert not silent


def test_functions_of_arrays_say_their_shapes_and_all_of_them_what_they_raise() -> None:
    for name, function, said in documented():
        if "ndarray" in str(inspect.signature(function)):
            assert re.search(r"[Ss]hape|Box\(", said), name
        for error in raised(function):
            assert error in said, f"{name} raises {error}"


def test_modules_that_are_public_as_a_whole_are_listed_as_a_whole() -> None:
    listed = set(NAMES)
    for module in WHOLE:
        own = public_of(pkgutil.resolve_name(module))
        missing = [name for name, each in own.items() if callable(each) and f"{module}.{name}" not in listed]
        assert not missing, module


def test_every_command_is_listed_and_explains_itself_and_its_options() -> None:
    rows = re.findall(r"^\| `automl (\w+)", text_of("api.md").split("### Commands")[1], flags=re.MULTILINE)
    assert sorted(rows) == sorted(COMMANDS)
    for name, command in COMMANDS.items():
        assert command.help, name
        silent = [option.name for option in command.params if option.name != "help" and not option.help]
        assert not silent, name


def invocations() -> Iterator[tuple[str, list[str]]]:
    """(page, words) of every command line of the pages and the README, in fences and within sentences."""
    for page in (ROOT / "README.md", *sorted(DOCS.glob("*.md"))):
        if page.name == "design.md":  # has the grammar of the planned command line
            continue
        text = page.read_text(encoding="utf-8")
        fences = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
        code = "\n".join(content for kind, content in fences if kind in PLAIN).replace("\\\n", " ")
        sentences = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        spans = [" ".join(span.split()) for span in re.findall(r"`(automl [^`]+)`", sentences)]
        for line in [*code.splitlines(), *spans]:
            found = re.search(r"(?:^|\s)automl ([a-z]+\b.*)", line.split(" #")[0])
            if found:
                yield page.name, shlex.split(found[1].replace("[", "").replace("]", ""))


def test_command_lines_of_the_pages_have_commands_options_and_values_that_there_are() -> None:
    checks: dict[str, Callable[[str], object]] = {
        "--budget": Budget.parse,
        "--pareto": BudgetRange.parse,
        "--bits": BitChoices.parse,
        "--engine": find_engine,
    }
    lines = list(invocations())
    assert len(lines) > 50
    for page, (name, *words) in lines:
        assert name in COMMANDS, f"{page}: automl {name}"
        known = {option for each in COMMANDS[name].params for option in each.opts}
        for word, value in pairwise([*words, ""]):
            if word.startswith("--"):
                assert word in known | {"--help"}, f"{page}: automl {name} {word}"
            if word in checks:
                checks[word](value)


def test_the_engines_page_has_every_engine() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", text_of("engines.md"), flags=re.MULTILINE)
    assert {*ENGINES, *AGENTS} <= set(rows)


@pytest.mark.parametrize("page", ["engines.md", "how.md"])
def test_figures_are_those_of_the_benchmarks(page: str) -> None:
    figures = re.findall(r"\d+\.\d+(?: ± \d+\.\d+)?%?", text_of(page))
    assert figures
    measured = text_of("benchmarks.md")
    assert [figure for figure in figures if figure not in measured] == []


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r"(\w+\.md)", (ROOT / "mkdocs.yml").read_text())
    assert sorted(listed) == sorted(path.name for path in DOCS.glob("*.md"))


def test_links_between_pages_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *DOCS.glob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / Path(target)).exists(), f"{page.name}: {target}"
