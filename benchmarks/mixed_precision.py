"""Our bit-widths against those of ModelOpt AutoQuantize and of Sony's toolkit, at equal mean bits of a weight.

Widths stay whole, and activations have 8 bits, as the first and the last layer have. Every method says which layers get
2, 4 or 8 bits; then every assignment goes through our quantizer and the same training at its bits. What a peer's own
quantized network answers before any training is shown beside it. Each result is on disk as soon as it is there.
"""

import argparse
import functools
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import optuna
import torch

from automl.cli.session import conversation
from automl.pipeline.conversation import Conversation
from benchmarks import mct_peer
from benchmarks.bit_contest import BitArena, BitResult, ours_assigned
from benchmarks.bit_task import Assigned, BitMethod, BitTask
from benchmarks.cache import CACHE, ResultCache
from benchmarks.cell import Cell, Failures, Place, collected
from benchmarks.interval import mean95
from benchmarks.methods import OURS
from benchmarks.nets import BY_DEFAULT, Net, Opener, chosen_nets, nets_option, open_net, remarks, why_not
from benchmarks.options import Options, parser, shared
from benchmarks.outcome import run_and_exit
from benchmarks.report import Details, Report, Row, percent, publish, spread
from benchmarks.standings import first_or_tied

AUTOQUANTIZE = "AutoQuantize"
MCT = "Sony MCT"
MEAN_BITS = (3.0, 2.5)
"""With 4 bits everywhere GPTQ alone already loses next to nothing on these networks (`benchmarks.quantization`)."""

BitResults = Mapping[Place, Sequence[BitResult]]
"""One result per seed."""


@dataclass(frozen=True, slots=True)
class BitPlan:
    """What to compare."""

    nets: tuple[Net, ...]
    mean_bits: tuple[float, ...]
    seeds: tuple[int, ...]
    epochs: int
    """Of the training at bit-widths."""
    trials: int
    """Of our search."""
    fresh: bool
    """Whether to measure again what is on disk."""


def run(
    plan: BitPlan, methods: Mapping[str, BitMethod], cache: ResultCache, opener: Opener, talk: Conversation
) -> tuple[BitResults, Failures]:
    """Every result of the plan, and what failed; a method that fails for one seed is left out there.

    Raises:
        InterruptedRunError: If the user stopped; what was measured is on disk.
    """
    return collected(_cells(plan, methods, opener, talk), cache, BitResult, _said, talk)


def _cells(plan: BitPlan, methods: Mapping[str, BitMethod], opener: Opener, talk: Conversation) -> Iterator[Cell]:
    for net, mean, seed in product(plan.nets, plan.mean_bits, plan.seeds):
        # Opened only if a result of it is missing.
        arena = functools.cache(partial(_arena, opener, net, mean, seed))
        for name, method in methods.items():
            facts = {"net": asdict(net), "mean_bits": mean, "seed": seed, "method": name}
            facts |= {"epochs": plan.epochs, "threads": torch.get_num_threads()}
            facts |= {"trials": plan.trials} if name == OURS else {}
            where = f"{net.name}, {mean:g} bits, seed {seed}, {name}"
            measure = partial(_measured, arena, method, plan, talk)
            yield Cell((net.name, mean, name), where, facts, measure, plan.fresh)


def _arena(opener: Opener, net: Net, mean: float, seed: int) -> BitArena:
    return BitArena(opener(net, seed), mean)


def _measured(arena: Callable[[], BitArena], method: BitMethod, plan: BitPlan, talk: Conversation) -> dict[str, Any]:
    return arena().measure(method, plan.epochs, plan.trials, talk.stop).to_json()


def _said(result: BitResult) -> str:
    own = "" if result.own is None else f"own network {percent(result.own)}, "
    return (
        f"{own}{percent(result.before)} rounded, {percent(result.after)} trained, dense {percent(result.dense)}, "
        f"{result.mean_bits:.2f} bits, {result.seconds:.0f} s"
    )


def find_methods(python: str | None) -> tuple[Mapping[str, BitMethod], tuple[str, ...]]:
    """Ours first, then every peer that is installed; and what to say of those that are not.

    Args:
        python: An interpreter that has Sony's toolkit; None asks this one.
    """
    methods: dict[str, BitMethod] = {OURS: ours_assigned}
    missing = []
    if importlib.util.find_spec("modelopt") is not None:
        methods[AUTOQUANTIZE] = _autoquantize
    else:
        missing.append("ModelOpt AutoQuantize: left out, not installed (pip install -e '.[bench]')")
    reason = mct_peer.why_not(python)
    if reason is None:
        methods[MCT] = partial(mct_peer.assign, python=python or sys.executable)
    else:
        missing.append(reason)
    return methods, tuple(missing)


def _autoquantize(task: BitTask) -> Assigned:
    from benchmarks import autoquantize_peer  # takes ten seconds

    return autoquantize_peer.assign(task)


def rows(results: BitResults) -> tuple[Row, ...]:
    """Ours against every peer, after the training."""
    made = []
    for net, mean, name in results:
        if name == OURS or (net, mean, OURS) not in results:
            continue
        mine, theirs = ([each.after for each in results[net, mean, method]] for method in (OURS, name))
        images = results[net, mean, OURS][0].images
        made.append(first_or_tied(f"{net}, {mean:g} bits, trained", mine, name, theirs, images))
    return tuple(made)


def tables(results: BitResults) -> tuple[Details, ...]:
    """Every method's figures, a table per network."""
    columns = ("method", "mean bits", "search s", "own", "rounded", "KL", "trained", "95%, seeds", "KL")
    made = []
    for net in dict.fromkeys(net for net, _, _ in results):
        lines = [(f"{mean:g} bits: {name}", *_figures(each)) for (n, mean, name), each in results.items() if n == net]
        dense = next(each[0].dense for (n, _, _), each in results.items() if n == net)
        made.append(Details(f"{net}: dense {percent(dense)}", columns, tuple(lines)))
    return tuple(made)


def _figures(results: Sequence[BitResult]) -> tuple[str, ...]:
    own = [each.own for each in results if each.own is not None]
    after = mean95([each.after for each in results])
    return (
        f"{np.mean([each.mean_bits for each in results]):.2f}",
        f"{np.median([each.seconds for each in results]):.0f}",
        percent(float(np.mean(own))) if own else "-",
        percent(float(np.mean([each.before for each in results]))),
        f"{np.mean([each.divergence_before for each in results]):.3f}",
        percent(after.value),
        spread(after),
        f"{np.mean([each.divergence_after for each in results]):.3f}",
    )


def _bits(text: str) -> tuple[float, ...]:
    found = tuple(float(part) for part in text.split(","))
    if not all(2 < mean <= 8 for mean in found):
        raise argparse.ArgumentTypeError(f"each mean must be above 2 and at most 8 bits, but got {text}")
    return found


def _arguments() -> argparse.Namespace:
    made = parser("Our bit-widths against AutoQuantize's and Sony MCT's.", seeds=3)
    nets_option(made, BY_DEFAULT[:2])
    made.add_argument(
        "--mean-bits",
        metavar="3,2.5",
        type=_bits,
        help="most bits of a weight in the mean (default: 3,2.5; --quick: 2.5)",
    )
    made.add_argument("--mct-python", metavar="PATH", help="interpreter that has Sony's toolkit (default: this one)")
    made.add_argument("--epochs", type=int, default=1, help="of the training at bit-widths (default: 1)")
    made.add_argument("--trials", type=int, help="of our search (default: 16; --quick: 4)")
    made.add_argument("--fresh", action="store_true", help="measure again what is on disk")
    return made.parse_args()


def _plan(arguments: argparse.Namespace, options: Options) -> BitPlan:
    return BitPlan(
        nets=tuple(net for net in chosen_nets(arguments) if why_not(net) is None),
        mean_bits=arguments.mean_bits or (MEAN_BITS[1:] if options.quick else MEAN_BITS),
        seeds=options.seeds,
        epochs=arguments.epochs,
        trials=arguments.trials or (4 if options.quick else 16),
        fresh=arguments.fresh,
    )


def main() -> int:
    """Runs the benchmark; returns the exit code."""
    arguments = _arguments()
    options = shared(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    methods, missing = find_methods(arguments.mct_python)
    plan = _plan(arguments, options)
    with conversation() as talk:
        cache = ResultCache(CACHE / "mixed_precision")
        results, failures = run(plan, methods, cache, lambda net, seed: open_net(net, seed, talk), talk)
    notes = tuple(remark for net in chosen_nets(arguments) for remark in remarks(net))
    report = Report(
        "benchmarks.mixed_precision", rows(results), tables(results), (*missing, *notes, *failures.values())
    )
    ours_failed = any(name == OURS for _, _, name in failures)
    return max(publish(report, options), int(ours_failed))


if __name__ == "__main__":
    run_and_exit(main)
