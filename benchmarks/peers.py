"""Ours against Torch-Pruning and ModelOpt FastNAS, at equal MACs and with the same fine-tuning.

Every method gets the same calibration and search images. Of every result the multiply-adds are counted by torch, batch
norm is recalibrated on the same images, and the dense network teaches it in the same way. Each result is on disk as
soon as it is there: a benchmark that was interrupted goes on where it was.
"""

import argparse
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import Any

import optuna
import torch

from automl.cli.session import conversation
from automl.core.errors import InputError
from automl.pipeline.conversation import Conversation
from benchmarks.cache import CACHE, ResultCache
from benchmarks.cell import Cell, Failures, collected
from benchmarks.contest import Arena, Effort, Result
from benchmarks.method import Method
from benchmarks.methods import OURS, find_methods
from benchmarks.nets import BY_DEFAULT, Net, Opener, chosen_nets, nets_option, open_net, remarks, why_not
from benchmarks.options import Options, parser, shared, shares
from benchmarks.outcome import run_and_exit
from benchmarks.report import Report, percent, publish
from benchmarks.standings import Results, rows, tables

BUDGETS = (0.5, 0.25, 0.125)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to compare."""

    nets: tuple[Net, ...]
    budgets: tuple[float, ...]
    """Shares of the dense network's MACs."""
    seeds: tuple[int, ...]
    effort: Effort
    quick: bool
    """Whether networks with a smaller input size take it."""
    fresh: frozenset[str]
    """Methods whose results on disk are not to be used."""


def run(
    plan: Plan, methods: Mapping[str, Method], cache: ResultCache, opener: Opener, talk: Conversation
) -> tuple[Results, Failures]:
    """Every result of the plan, and what failed; a method that fails for one seed is left out at that budget.

    Raises:
        InterruptedRunError: If the user stopped; what was measured is on disk.
    """
    return collected(_cells(plan, methods, opener, talk), cache, Result, _said, talk)


def _cells(plan: Plan, methods: Mapping[str, Method], opener: Opener, talk: Conversation) -> Iterator[Cell]:
    for net, seed in product(plan.nets, plan.seeds):
        # Opened only if a result of it is missing.
        arena = functools.cache(partial(_arena, opener, net, seed))
        for budget, (name, method) in product(plan.budgets, methods.items()):
            facts = {"net": asdict(net), "budget": budget, "seed": seed, "method": name, "quick": plan.quick}
            facts |= {"epochs": plan.effort.epochs, "threads": torch.get_num_threads()}
            facts |= {"trials": plan.effort.trials} if name == OURS else {}
            where = f"{net.name} {percent(budget)} seed {seed}, {name}"
            measure = partial(_measured, arena, method, budget, plan.effort, talk)
            yield Cell((net.name, budget, name), where, facts, measure, name in plan.fresh)


def _arena(opener: Opener, net: Net, seed: int) -> Arena:
    return Arena(opener(net, seed))


def _measured(
    arena: Callable[[], Arena], method: Method, budget: float, effort: Effort, talk: Conversation
) -> dict[str, Any]:
    return arena().measure(method, budget, effort, talk.stop).to_json()


def _said(result: Result) -> str:
    return (
        f"{percent(result.before)} before, {percent(result.after)} fine-tuned, dense {percent(result.dense)}, "
        f"{percent(result.macs_share)} of MACs, {result.search_seconds:.0f} s"
    )


def _plan(arguments: argparse.Namespace, options: Options, methods: Sequence[str]) -> tuple[Plan, tuple[str, ...]]:
    """The plan, and what to say of its networks."""
    chosen = chosen_nets(arguments)
    budgets = arguments.budgets or ((0.25,) if options.quick else BUDGETS)
    effort = Effort(
        epochs=arguments.epochs or (1 if options.quick else 3), trials=arguments.trials or (8 if options.quick else 16)
    )
    fresh = frozenset(methods if arguments.fresh == "all" else filter(None, arguments.fresh.split(",")))
    notes = tuple(remark for net in chosen for remark in remarks(net))
    nets = tuple(net for net in chosen if why_not(net) is None)
    return Plan(nets, tuple(budgets), options.seeds, effort, options.quick, fresh), notes


def _chosen(methods: Mapping[str, Method], names: str | None) -> Mapping[str, Method]:
    wanted = tuple(methods) if names is None else names.split(",")
    unknown = [name for name in wanted if name not in methods]
    if unknown:
        raise InputError(f"A method must be one of {', '.join(methods)}, but got {unknown[0]!r}. Correct `--methods`.")
    return {name: methods[name] for name in wanted}


def _arguments() -> argparse.Namespace:
    made = parser("Ours against Torch-Pruning and ModelOpt FastNAS.", seeds=3)
    nets_option(made, BY_DEFAULT)
    made.add_argument("--budgets", metavar="0.5,0.25", type=shares, help="shares of the MACs")
    made.add_argument("--methods", metavar="A,B", help="methods (default: all that are installed)")
    made.add_argument("--epochs", type=int, help="of the fine-tuning (default: 3; --quick: 1)")
    made.add_argument("--trials", type=int, help="of our search (default: 16; --quick: 8)")
    made.add_argument(
        "--fresh", nargs="?", const="all", default="", metavar="A,B", help="measure again: all methods, or these"
    )
    return made.parse_args()


def main() -> int:
    """Runs the benchmark; returns the exit code."""
    arguments = _arguments()
    options = shared(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    methods, missing = find_methods()
    methods = _chosen(methods, arguments.methods)
    plan, notes = _plan(arguments, options, tuple(methods))
    with conversation() as talk:
        results, failures = run(
            plan,
            methods,
            ResultCache(CACHE / "peers"),
            lambda net, seed: open_net(net, seed, talk),
            talk,
        )
    report = Report("benchmarks.peers", rows(results), tables(results), (*missing, *notes, *failures.values()))
    ours_failed = any(name == OURS for _, _, name in failures)
    return max(publish(report, options), int(ours_failed))


if __name__ == "__main__":
    run_and_exit(main)
