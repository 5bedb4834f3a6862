"""Widths and bits searched together, against widths first and bits afterwards, and against bits alone.

Every arm has the same evaluations, engine, images and sensitivity table, meets the same budget on bit operations, and
its policy gets the same training: in float with distillation, then at its bit-widths. Each seed divides the images anew
and seeds search and training. Networks are fake-quantized here, so that all of it is simulated.
"""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import pairwise, product
from typing import Any

import numpy as np

from automl.cli.session import conversation
from automl.pipeline.conversation import Conversation
from benchmarks.cache import CACHE, ResultCache
from benchmarks.interval import mean95, paired95
from benchmarks.joint_arms import ARMS, BITS, BITS_ONLY, INT8, JOINT, STEPWISE, Bench, Effort, Result
from benchmarks.nets import BY_DEFAULT, Net, chosen_nets, nets_option, open_net, remarks, why_not
from benchmarks.options import parser, shared, shares
from benchmarks.outcome import run_and_exit
from benchmarks.report import Details, Report, Row, percent, points, publish, spread

BUDGETS = (0.02, 0.01, 0.005)
"""Shares of the dense float network's bit operations; bits alone reach the first, at nearly 4 bits throughout."""
FILLS = (0.7, 0.85, 0.95, 1.0)
"""Of the budget, at the fewest bits of a pruned network; which one is best depends on the network and the budget."""
INT8_BOPS = 1 / 16
"""Share of the bit operations of the dense network at 8 bits."""
_TARGET = ">= 0 by the interval"

Place = tuple[float, str]
"""(share of the BOPs, arm)."""
Found = Mapping[Place, Sequence[Result | None]]
"""One result per seed; None where the arm cannot meet the budget."""


def measured(net: Net, seed: int, places: Sequence[Place], effort: Effort, fresh: bool, talk: Conversation) -> Found:
    """The result of every place, for one seed; each is on disk as soon as it is there."""
    cache = ResultCache(CACHE / "joint")
    here = {"net": asdict(net), "seed": seed, "bits": BITS}

    def keep(facts: Mapping[str, Any], work: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        return cache.get({**here, **facts}, work, fresh=fresh)

    bench = Bench(partial(open_net, net, seed, talk, BITS), effort, keep, talk)
    found: dict[Place, list[Result | None]] = {}
    for budget, arm in places:
        facts: dict[str, Any] = {"arm": arm, "budget": budget, "epochs": effort.epochs}
        if arm != INT8:
            facts |= {"trials": effort.trials}
        if arm == STEPWISE:
            facts |= {"fills": effort.fills}
        values = keep(facts, partial(bench.measured, arm, budget))
        found[budget, arm] = [None if "cannot" in values else Result(**values)]
        talk.say(f"{net.name} seed {seed}, {budget:g} of BOPs, {arm}: {_said(values)}")
    return found


def _said(values: Mapping[str, Any]) -> str:
    if "cannot" in values:
        return "cannot"
    seconds = values["search_seconds"] + values["train_seconds"]
    return f"{percent(values['before'])} before training, {percent(values['after'])} after (simulated), {seconds:.0f} s"


def rows(net: str, found: Found) -> tuple[Row, ...]:
    """Joint against each other arm: accuracy after training at each budget, and hypervolume."""
    budgets = list(dict.fromkeys(budget for budget, arm in found if arm != INT8))
    made = []
    for budget, other in product(budgets, (STEPWISE, BITS_ONLY)):
        pairs = zip(found[budget, JOINT], found[budget, other], strict=True)
        both = [(mine.after, theirs.after) for mine, theirs in pairs if mine is not None and theirs is not None]
        if both:
            made.append(_row(f"{net}, {budget:g} of BOPs, accuracy", other, *map(list, zip(*both, strict=True))))
    if len(budgets) > 1:
        mine, *others = (hypervolumes(found, arm) for arm in ARMS)
        made.extend(
            _row(f"{net}, hypervolume", other, mine, theirs) for other, theirs in zip(ARMS[1:], others, strict=True)
        )
    return tuple(made)


def _row(what: str, other: str, mine: Sequence[float], theirs: Sequence[float]) -> Row:
    difference = paired95(mine, theirs)
    held = None if difference.ci95 is None else difference.ci95[1] >= 0
    return points(what, mine, other, theirs, difference, _TARGET, held)


def hypervolumes(found: Found, arm: str) -> list[float]:
    """One per seed; a budget that the arm cannot meet adds nothing."""
    here = {budget: each for (budget, name), each in found.items() if name == arm}
    per_seed = zip(*here.values(), strict=True)
    return [hypervolume([each for each in results if each is not None], min(here)) for results in per_seed]


def hypervolume(results: Sequence[Result], least: float) -> float:
    """Accuracy above chance of the best network within each number of BOPs, from `least` to dense int8's, on average.

    That is the dominated area over the logarithm of the BOPs, in which each halving counts the same, with dense int8's
    BOPs and chance as the reference point, over the width of the range.
    """
    area, best = 0.0, 0.0
    ordered = sorted((each for each in results if each.bops < INT8_BOPS), key=lambda each: each.bops)
    ends = [*(math.log2(each.bops) for each in ordered), math.log2(INT8_BOPS)]
    for each, (start, end) in zip(ordered, pairwise(ends), strict=True):
        best = max(best, each.after - each.chance)
        area += best * (end - start)
    return area / math.log2(INT8_BOPS / least)


def table(net: str, found: Found) -> Details:
    """Every arm at every budget: means over the seeds, and the median seconds."""
    columns = ("BOPs, arm", "BOPs", "MACs", "weight bits", "KL", "before", "after", "95%, seeds", "search s", "train s")
    lines = []
    for (budget, arm), each in found.items():
        there = [one for one in each if one is not None]
        cells = _figures(there) if there else ("cannot", *("-" for _ in columns[2:]))
        lines.append((f"{budget:g} {arm}", *cells))
    return Details(f"{net}: simulated accuracy at equal BOPs, {_seeds(found)} seed(s)", columns, tuple(lines))


def _seeds(found: Found) -> int:
    return max(map(len, found.values()), default=0)


def _figures(results: Sequence[Result]) -> tuple[str, ...]:
    after = mean95([each.after for each in results])
    return (
        f"{np.mean([each.bops for each in results]):.4f}",
        percent(float(np.mean([each.macs for each in results]))),
        f"{np.mean([each.weight_bits for each in results]):.1f}",
        f"{np.mean([each.divergence for each in results]):.3f}",
        percent(float(np.mean([each.before for each in results]))),
        percent(after.value),
        spread(after),
        f"{np.median([each.search_seconds for each in results]):.0f}",
        f"{np.median([each.train_seconds for each in results]):.0f}",
    )


def merged(parts: Sequence[Found]) -> Found:
    """The seeds' results side by side."""
    return {place: [one for part in parts for one in part[place]] for place in parts[0]}


def _arguments() -> argparse.Namespace:
    made = parser("Widths and bits together, against one after the other, and against bits alone.", seeds=5)
    nets_option(made, BY_DEFAULT[:2])
    made.add_argument(
        "--budgets", metavar="0.02,0.01", type=shares, help=f"shares of the BOPs (default: {BUDGETS}; --quick: 0.01)"
    )
    made.add_argument("--trials", type=int, help="evaluations of every arm (default: 20; --quick: 4)")
    made.add_argument("--epochs", type=int, help="of the fine-tuning (default: 2; --quick: 1; 0 for no training)")
    made.add_argument(
        "--fills",
        metavar="0.7,1",
        type=shares,
        default=FILLS,
        help="shares of the budget that a network which is pruned first may take at its fewest bits",
    )
    made.add_argument("--fresh", action="store_true", help="search and train again what is on disk")
    return made.parse_args()


def _effort(arguments: argparse.Namespace) -> Effort:
    epochs = (1 if arguments.quick else 2) if arguments.epochs is None else arguments.epochs
    return Effort(arguments.trials or (4 if arguments.quick else 20), epochs, arguments.fills)


def main() -> int:
    """Runs the benchmark; returns 1 where a target is missed."""
    arguments = _arguments()
    options, effort = shared(arguments), _effort(arguments)
    nets = chosen_nets(arguments)
    budgets = arguments.budgets or (BUDGETS[1:2] if options.quick else BUDGETS)
    places = [*product(budgets, ARMS), (INT8_BOPS, INT8)]
    parts: dict[str, list[Found]] = {}
    with conversation() as talk:
        # Seed by seed, so that an interrupted benchmark has whole seeds.
        for seed, net in product(options.seeds, [net for net in nets if why_not(net) is None]):
            parts.setdefault(net.name, []).append(measured(net, seed, places, effort, arguments.fresh, talk))
    whole = {name: merged(each) for name, each in parts.items()}
    made_rows = [row for name, found in whole.items() for row in rows(name, found)]
    notes = (*(note for net in nets for note in remarks(net)), *_notes(effort, min(budgets)))
    details = tuple(table(name, found) for name, found in whole.items())
    return publish(Report("benchmarks.joint", tuple(made_rows), details, notes), options)


def _notes(effort: Effort, least: float) -> tuple[str, ...]:
    return (
        f"bits {BITS}; {effort.trials} evaluations per arm. {STEPWISE}: half of them prune until the fewest bits would "
        f"take {' or '.join(f'{fill:g}' for fill in effort.fills)} of the budget, as the sensitivity table finds best; "
        "where the whole network takes no more, all go to the bits",
        f"{effort.epochs} epoch(s) of fine-tuning, then a quarter of that, rounded up, at bit-widths; all simulated",
        f"hypervolume: mean accuracy above chance over log2 of the BOPs, from {least:g} to dense int8's {INT8_BOPS:g}",
    )


if __name__ == "__main__":
    run_and_exit(main)
