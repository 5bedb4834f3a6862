"""The options that every benchmark takes."""

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """How much to run, and where the result goes."""

    quick: bool
    """A look of about a minute; its figures are not to be quoted."""
    json: Path | None
    """File for the report; None for none."""
    seeds: tuple[int, ...]
    """Each repetition's seed."""


def parser(description: str, *, seeds: int) -> argparse.ArgumentParser:
    """A parser with the shared options; a benchmark adds its own.

    Args:
        description: What `--help` says.
        seeds: Repetitions where the user gives none; one with `--quick`.
    """
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--quick", action="store_true", help="a look of about a minute, on less of everything")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the report there as well")
    made.add_argument(
        "--seeds", type=_count, metavar="N", help=f"repetitions, with seeds 0 to N - 1 (default: {seeds}, --quick: 1)"
    )
    made.set_defaults(default_seeds=seeds)
    return made


def shared(arguments: argparse.Namespace) -> Options:
    """The shared options of what a parser of `parser` returned."""
    count = arguments.seeds or (1 if arguments.quick else arguments.default_seeds)
    return Options(arguments.quick, arguments.json, tuple(range(count)))


def shares(text: str) -> tuple[float, ...]:
    """`0.5,0.25` as shares of the dense network's MACs; argparse shows what is wrong with another text."""
    found = tuple(float(part) for part in text.split(","))
    if not all(0 < share <= 1 for share in found):
        raise argparse.ArgumentTypeError(f"each share must be above 0 and at most 1, but got {text}")
    return found


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"there must be at least 1 seed, but got {count}")
    return count
