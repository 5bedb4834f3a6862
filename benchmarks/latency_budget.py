"""Searches under latency budgets: do the files keep them, and is time the better objective than multiply-adds?

Budgets are drawn between 0.3 and 0.8 of the dense network's latency. Each search is the product itself, up to the
exported file, which is then timed beside the dense network in a process of its own: that verdict counts, not the run's.
Against it stands the same search under a FLOPs budget, with the same widths, trials, promotion and fine-tuning. Its
budget is moved until its network takes as long; nothing but the objective differs. Both files are timed call by call
in turns, and where the FLOPs-driven one is faster than 0.98 of the other the pair says nothing and is left out.
"""

import argparse
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from automl.cli.session import conversation
from benchmarks.cache import CACHE
from benchmarks.interval import paired95
from benchmarks.latency_budget_arms import Bench, Found, Outcome, Task, Worth
from benchmarks.latency_match import FAIR
from benchmarks.nets import BY_DEFAULT, chosen_nets, nets_option, remarks, why_not
from benchmarks.options import parser, shared
from benchmarks.outcome import run_and_exit
from benchmarks.report import Details, Report, Row, percent, publish
from benchmarks.standings import first_or_tied

LEAST, MOST = 0.3, 0.8
"""Of the dense network's latency: the range of the budgets."""
LEAST_USED = 0.93
_RIVAL = "FLOPs-driven"

Outcomes = Mapping[str, Sequence[Outcome]]
"""Network -> one outcome per search."""


def budgets(net: str, count: int) -> list[float]:
    """So many budgets for a network, one at random in each equal part of the range, from small to large; two decimals.

    The same for the same name and count.
    """
    generator = np.random.default_rng(zlib.crc32(net.encode()))
    drawn = LEAST + (MOST - LEAST) * (np.arange(count) + generator.uniform(size=count)) / count
    return [round(share, 2) for share in drawn.tolist()]


def rows(outcomes: Outcomes) -> tuple[Row, ...]:
    """Budgets met and used, over all networks; then latency, accuracy and divergence of both arms for each network."""
    everything = [each for those in outcomes.values() for each in those]
    if not everything:
        return ()
    met = sum(each.met for each in everything)
    made = [_met(met, len(everything))]
    used = [each.found.again / each.share for each in everything if each.found is not None]
    if used:
        made.append(_used(min(used)))
    return (*made, *(row for net, those in outcomes.items() for row in _against_flops(net, those)))


def _met(met: int, searches: int) -> Row:
    what = "latency budgets met when timed again"
    return Row(what, met, f"{searches} searches", met / searches, "ratio", None, "all", met == searches)


def _used(least: float) -> Row:
    what, target = "least share of a budget that is used", f">= {LEAST_USED:.0%}"
    return Row(what, least, f"{LEAST_USED:.0%}", least - LEAST_USED, "points", None, target, least >= LEAST_USED)


def _against_flops(net: str, outcomes: Sequence[Outcome]) -> Iterator[Row]:
    found = [each.found for each in outcomes if each.found is not None]
    if not found:
        return
    least = min(each.ratio for each in found)
    what, target = f"{net}: latency of the {_RIVAL} network, least", f">= {FAIR[0]:g}x"
    yield Row(what, least, "latency-driven", least, "ratio", None, target, least >= FAIR[0])
    pairs = fair(found)
    if not pairs:
        return
    mine, theirs = ([worth.accuracy for worth in arm] for arm in _arms(pairs))
    yield first_or_tied(f"{net}: accuracy at equal latency", mine, _RIVAL, theirs, pairs[0].images)
    mine, theirs = ([worth.divergence for worth in arm] for arm in _arms(pairs))
    difference = paired95(mine, theirs)
    against = f"{_RIVAL} {np.mean(theirs):.4f}"
    what, mean = f"{net}: KL from the dense network, test images", float(np.mean(mine))
    yield Row(what, mean, against, difference.value, "difference", difference.ci95, "", None)


def fair(found: Sequence[Found]) -> list[Found]:
    """Pairs in which the FLOPs-driven network has about as much time, or more."""
    return [each for each in found if each.ratio >= FAIR[0]]


def _arms(pairs: Sequence[Found]) -> tuple[list[Worth], list[Worth]]:
    return [each.latency_driven for each in pairs], [each.flops_driven for each in pairs]


def table(net: str, outcomes: Sequence[Outcome]) -> Details:
    """Every search of a network, both arms."""
    columns = (
        "budget", "seed", "by its run", "again", "used", "MACs", "FLOPs MACs", "FLOPs latency", "rounds",
        "accuracy", "FLOPs", "KL", "FLOPs", "s", "FLOPs s",
    )  # fmt: skip
    lines = []
    for each in outcomes:
        cells = ("refused", *("-" for _ in columns[3:])) if each.found is None else _cells(each.share, each.found)
        lines.append((f"{each.share:.2f}", str(each.seed), *cells))
    dense = next((f", dense {percent(each.found.dense)}" for each in outcomes if each.found is not None), "")
    return Details(f"{net}{dense}: latency-driven, against FLOPs-driven", columns, tuple(lines))


def _cells(share: float, found: Found) -> tuple[str, ...]:
    ours, theirs = found.latency_driven, found.flops_driven
    return (
        f"{found.own:.4f}",
        f"{found.again:.4f}",
        percent(found.again / share),
        percent(ours.macs),
        percent(theirs.macs),
        f"{found.ratio:.3f}x",
        str(found.rounds),
        percent(ours.accuracy),
        percent(theirs.accuracy),
        f"{ours.divergence:.4f}",
        f"{theirs.divergence:.4f}",
        f"{ours.seconds:.0f}",
        f"{theirs.seconds:.0f}",
    )


def notes(outcomes: Outcomes, made: Sequence[Row]) -> Iterator[str]:
    """What was refused, left out or not equal, and which accuracies are ties."""
    for net, those in outcomes.items():
        for each in those:
            said = each.refused if each.found is None else _inequality(each.found)
            if said:
                yield f"{net}, {each.share:.2f}latency, seed {each.seed}: {said}"
    for row in made:
        if row.target == "first or tied" and row.held and (row.compared < 0 or _reaches_0(row)):
            why = "the interval of the difference has 0 in it" if row.ci95 else "the test images cannot tell them apart"
            yield f"{row.what}: a tie, {why}"


def _inequality(found: Found) -> str:
    takes = f"the {_RIVAL} network takes {found.ratio:.3f} of the other's latency"
    if found.ratio < FAIR[0]:
        return f"left out of the accuracies, {takes}"
    return f"{takes}, which favours it; it counts all the same" if found.ratio > FAIR[1] else ""


def _reaches_0(row: Row) -> bool:
    return row.ci95 is not None and row.ci95[0] <= 0 <= row.ci95[1]


def _arguments() -> argparse.Namespace:
    made = parser(__doc__ or "", seeds=5)
    nets_option(made, BY_DEFAULT[:2])
    made.add_argument("--trials", type=int, help="evaluations of every search (default: 12; --quick: 4)")
    made.add_argument("--epochs", type=int, help="of the fine-tuning (default: 2; --quick: 1; 0 for no training)")
    made.add_argument("--fresh", action="store_true", help="search and time again what is on disk")
    return made.parse_args()


def main() -> int:
    """Runs the benchmark; returns 1 where a target is missed."""
    arguments = _arguments()
    options, nets = shared(arguments), chosen_nets(arguments)
    trials = arguments.trials or (4 if options.quick else 12)
    epochs = (1 if options.quick else 2) if arguments.epochs is None else arguments.epochs
    found: dict[str, list[Outcome]] = {}
    with conversation() as talk:
        # Seed by seed, so that an interrupted benchmark has every network.
        for seed, net in product(options.seeds, [net for net in nets if why_not(net) is None]):
            task = Task(net, budgets(net.name, len(options.seeds))[seed], seed, trials, epochs)
            outcome = Bench(task, CACHE / "latency_budget", arguments.fresh, talk).outcome()
            found.setdefault(net.name, []).append(outcome)
            talk.say(f"{net.name} seed {seed}, {task.budget}: {'met' if outcome.met else 'NOT met'}")
    made = rows(found)
    said = [note for net in nets for note in remarks(net)] + list(notes(found, made))
    effort = f"{trials} trials a search, {epochs} epoch(s) of fine-tuning; latencies of one image, one thread"
    details = tuple(table(name, each) for name, each in found.items())
    return publish(Report("benchmarks.latency_budget", made, details, (*said, effort)), options)


if __name__ == "__main__":
    run_and_exit(main)
