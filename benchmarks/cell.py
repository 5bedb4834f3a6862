"""The cells of a comparison: one method, at one place, with one seed. A method that fails stops none of the others."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from automl.core.errors import InterruptedRunError
from automl.pipeline.conversation import Conversation
from benchmarks.cache import ResultCache

R = TypeVar("R")

Place = tuple[str, float, str]
"""(network, share of the MACs or mean bits of a weight, method)."""
Failures = Mapping[Place, str]
"""What went wrong where, in a sentence."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One method at one place with one seed, still to be measured or read."""

    place: Place
    where: str
    """What messages call it."""
    facts: Mapping[str, Any]
    """Everything that the result depends on, as JSON values."""
    measure: Callable[[], Mapping[str, Any]]
    """Makes the result, as JSON values."""
    fresh: bool
    """Whether to measure what is on disk as well."""


def collected(
    cells: Iterable[Cell], cache: ResultCache, result: Callable[..., R], said: Callable[[R], str], talk: Conversation
) -> tuple[Mapping[Place, Sequence[R]], Failures]:
    """Every place's results, one per seed, and what failed; a method that fails for one seed is left out there.

    Raises:
        InterruptedRunError: If the user stopped; what was measured is on disk.
    """
    found: dict[Place, list[R]] = {}
    failures: dict[Place, str] = {}
    for cell in cells:
        try:
            made = result(**cache.get(cell.facts, cell.measure, fresh=cell.fresh))
        except InterruptedRunError:
            raise
        except Exception as error:  # a peer may raise anything
            failures[cell.place] = f"{cell.where}: {type(error).__name__}: {error}"
            talk.say(failures[cell.place])
            continue
        found.setdefault(cell.place, []).append(made)
        talk.say(f"{cell.where}: {said(made)}")
    return {place: results for place, results in found.items() if place not in failures}, failures
