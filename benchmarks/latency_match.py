"""The FLOPs budget whose search ends in a network that takes as long as another one.

Only latencies are looked at, never accuracies: predicted ones to choose a budget, timed ones to correct it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from automl.core.policy import CompressionPolicy

FAIR = (0.98, 1.03)
"""Of the other network's latency; who takes longer has the advantage."""
AIM = 1.005
ROUNDS = 6
"""Most searches; each has as many trials as the one that it is compared with, and only the chosen one counts."""
_CLOSE = (0.99, 1.02)
"""With which no other budget is tried: the files are timed once more in the end, and times vary."""
_BISECTIONS = 12
_INNER = 0.1
"""Least distance from either end of a bracket, as a share of it: dropped branches make latencies jump."""


@dataclass(frozen=True, slots=True)
class Round:
    """One search under a FLOPs budget."""

    share: float
    """The budget, of the dense network's multiply-adds."""
    policy: CompressionPolicy
    """What it ended in."""
    ratio: float
    """Timed latency of that, over the other network's."""


def matched(
    predicted_ms: Callable[[float], float], tried: Callable[[float], Round], wanted_ms: float
) -> tuple[Round, ...]:
    """Searches under one budget after the other until one ends close to the wanted latency.

    Args:
        predicted_ms: Share of the multiply-adds -> predicted latency of the solver's plain answer; minus infinity
            where there is none.
        tried: Searches under a share and times what comes out.
        wanted_ms: Predicted latency of the other network.
    """
    rounds: list[Round] = []
    aim_ms = AIM * wanted_ms
    while len(rounds) < ROUNDS:
        share = _between(rounds) or share_at(predicted_ms, aim_ms)
        if any(each.share == share for each in rounds):
            break
        rounds.append(tried(share))
        ratio = rounds[-1].ratio
        if _CLOSE[0] <= ratio <= _CLOSE[1]:
            break
        # What the prediction misses, and what the search moved away from the solver's answer.
        aim_ms *= AIM / ratio
    return tuple(rounds)


def _between(rounds: Sequence[Round]) -> float | None:
    """A share between two neighbours of which one was too fast and one too slow; None where there are none yet."""
    ordered = pairwise(sorted(rounds, key=lambda each: each.share))
    brackets = [(one, two) for one, two in ordered if (one.ratio < AIM) != (two.ratio < AIM)]
    if not brackets:
        return None
    # There may be several: a larger budget may well lead to a faster network.
    one, two = min(brackets, key=lambda pair: sum(abs(each.ratio - AIM) for each in pair))
    way = (AIM - one.ratio) / (two.ratio - one.ratio)
    return round(one.share + min(max(way, _INNER), 1 - _INNER) * (two.share - one.share), 4)


def closest(rounds: Sequence[Round]) -> Round:
    """The one nearest to the aim; one that is too fast to be fair only where all are."""
    return min(rounds, key=lambda each: (each.ratio < FAIR[0], abs(each.ratio - AIM)))


def share_at(predicted_ms: Callable[[float], float], wanted_ms: float) -> float:
    """The share in (0, 1), to four decimals, whose predicted latency is nearest to `wanted_ms`, by bisection."""
    low, high = 0.0, 1.0
    seen: dict[float, float] = {}
    for _ in range(_BISECTIONS):
        share = round((low + high) / 2, 4)
        seen[share] = predicted_ms(share)
        low, high = (share, high) if seen[share] < wanted_ms else (low, share)
    return min(seen, key=lambda share: abs(seen[share] - wanted_ms))
