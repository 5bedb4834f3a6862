import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from automl.core.errors import InterruptedRunError
from automl.pipeline.conversation import Conversation
from automl.report.progress import Progress
from benchmarks.cache import ResultCache
from benchmarks.cell import Cell, collected


@pytest.fixture
def talk() -> Iterator[Conversation]:
    console = Console(file=io.StringIO(), width=200)
    with Progress(console) as progress:
        yield Conversation(console, progress, lambda: False)


def cell(method: str, seed: int, measure: Callable[[], Mapping[str, Any]]) -> Cell:
    return Cell(("net", 0.5, method), f"seed {seed}, {method}", {"seed": seed, "method": method}, measure, False)


def fine() -> dict[str, Any]:
    return {"after": 0.9}


def broken() -> dict[str, Any]:
    raise ValueError("no such layer")


def stopped() -> dict[str, Any]:
    raise InterruptedRunError("stopped")


def test_a_method_that_fails_for_one_seed_is_left_out_and_the_others_go_on(tmp_path: Path, talk: Conversation) -> None:
    cells = [cell("a", 0, fine), cell("b", 0, fine), cell("a", 1, broken), cell("b", 1, fine)]
    found, failures = collected(cells, ResultCache(tmp_path), dict[str, float], str, talk)
    assert found == {("net", 0.5, "b"): [fine(), fine()]}
    assert failures == {("net", 0.5, "a"): "seed 1, a: ValueError: no such layer"}


def test_who_stops_a_benchmark_keeps_what_was_measured(tmp_path: Path, talk: Conversation) -> None:
    with pytest.raises(InterruptedRunError):
        collected([cell("a", 0, fine), cell("b", 0, stopped)], ResultCache(tmp_path), dict[str, float], str, talk)
    found, _ = collected([cell("a", 0, broken)], ResultCache(tmp_path), dict[str, float], str, talk)
    assert found == {("net", 0.5, "a"): [fine()]}
