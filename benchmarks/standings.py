"""Who is first: ours against the best peer, and every method's figures."""

from collections.abc import Mapping, Sequence

import numpy as np

from automl.evaluate.interval import wilson95
from benchmarks.cell import Place
from benchmarks.contest import Result
from benchmarks.interval import mean95, median95, paired95
from benchmarks.methods import FASTNAS, OURS
from benchmarks.report import Details, Row, percent, points, spread

_MOST_SEARCH_RATIO = 1 / 3

Results = Mapping[Place, Sequence[Result]]
"""One result per seed."""


def rows(results: Results) -> tuple[Row, ...]:
    """Ours against the best peer of each network and budget, before and after fine-tuning, and our seconds."""
    made = []
    for net, budget in dict.fromkeys((net, budget) for net, budget, _ in results):
        here = {name: each for (n, b, name), each in results.items() if (n, b) == (net, budget)}
        ours, peers = here.pop(OURS, None), here
        if ours is None or not peers:
            continue
        where = f"{net}, {percent(budget)} of MACs"
        made.append(_before(where, ours, peers))
        made.append(_after(where, ours, peers))
        if FASTNAS in peers:
            made.append(_seconds(where, ours, peers[FASTNAS]))
    return tuple(made)


def tables(results: Results) -> tuple[Details, ...]:
    """Every method's figures, a table per network."""
    columns = ("method", "MACs", "search s", "before", "KL", "after", "95%, seeds", "95%, images", "KL")
    made = []
    for net in dict.fromkeys(net for net, _, _ in results):
        lines = [
            (f"{percent(budget)} {name}", *_figures(each))
            for (n, budget, name), each in sorted(results.items(), key=lambda item: (-item[0][1], item[0][2] != OURS))
            if n == net
        ]
        dense = next(each[0].dense for (n, _, _), each in results.items() if n == net)
        made.append(Details(f"{net}: dense {percent(dense)}", columns, tuple(lines)))
    return tuple(made)


def _before(where: str, ours: Sequence[Result], peers: Mapping[str, Sequence[Result]]) -> Row:
    best = max(peers, key=lambda name: mean95([each.before for each in peers[name]]).value)
    mine, theirs = [each.before for each in ours], [each.before for each in peers[best]]
    difference = paired95(mine, theirs)
    return points(f"{where}, before fine-tuning", mine, best, theirs, difference, "first", difference.value >= 0)


def _after(where: str, ours: Sequence[Result], peers: Mapping[str, Sequence[Result]]) -> Row:
    best = max(peers, key=lambda name: mean95([each.after for each in peers[name]]).value)
    mine, theirs = [each.after for each in ours], [each.after for each in peers[best]]
    return first_or_tied(f"{where}, fine-tuned", mine, best, theirs, ours[0].images)


def first_or_tied(what: str, ours: Sequence[float], peer: str, theirs: Sequence[float], images: int) -> Row:
    """Accuracies on the same test images, one per seed: missed only where the peer is ahead beyond doubt."""
    difference = paired95(ours, theirs)
    # One seed has no spread: then a tie is what the test images cannot tell apart.
    most = difference.ci95[1] if difference.ci95 is not None else _wilson(ours, images)[1] - theirs[0]
    held = difference.value >= 0 or most >= 0
    return points(what, ours, peer, theirs, difference, "first or tied", held)


def lowest_or_tied(what: str, ours: Sequence[float], baseline: str, theirs: Sequence[float]) -> Row:
    """Scores of which lower is better, one per seed: missed only where the baseline is lower beyond doubt."""
    gap = paired95(ours, theirs)
    held = gap.value <= 0 or (gap.ci95 is not None and gap.ci95[0] <= 0)
    return Row(what, mean95(ours).value, baseline, gap.value, "difference", gap.ci95, "<= 0 or inside", held)


def _seconds(where: str, ours: Sequence[Result], theirs: Sequence[Result]) -> Row:
    mine, other = [each.search_seconds for each in ours], [each.search_seconds for each in theirs]
    ratio = median95([one / two for one, two in zip(mine, other, strict=True)])
    baseline = f"{FASTNAS} {np.median(other):.0f} s"
    held = ratio.value <= _MOST_SEARCH_RATIO
    return Row(f"{where}, search s", float(np.median(mine)), baseline, ratio.value, "ratio", ratio.ci95, "<= 1/3", held)


def _figures(results: Sequence[Result]) -> tuple[str, ...]:
    def mean(values: Sequence[float]) -> float:
        return float(np.mean(values))

    after = mean95([each.after for each in results])
    return (
        percent(mean([each.macs_share for each in results])),
        f"{np.median([each.search_seconds for each in results]):.0f}",
        percent(mean([each.before for each in results])),
        f"{mean([each.divergence_before for each in results]):.3f}",
        percent(after.value),
        spread(after),
        " to ".join(percent(end) for end in _wilson([each.after for each in results], results[0].images)),
        f"{mean([each.divergence_after for each in results]):.3f}",
    )


def _wilson(accuracies: Sequence[float], images: int) -> tuple[float, float]:
    """Of the mean accuracy: the seeds share their test images, which say no more for being asked several times."""
    return wilson95(round(float(np.mean(accuracies)) * images), images)
