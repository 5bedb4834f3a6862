"""Measures the sensitivity table: the divergence of the network with one group narrowed, at a few widths of each.

Between the measured widths the error of the least squares, which is known for every width, gives the shape.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.compress.importance import most_important
from automl.compress.surgery import kept_entries
from automl.core.knob import Knob
from automl.core.policy import CompressionPolicy, checked_policy, dense_policy
from automl.core.sensitivity import SensitivityTable
from automl.evaluate.dense import DenseNetwork
from automl.evaluate.measure import divergences
from automl.evaluate.prefix import PrefixCache

_RATIOS = (0.75, 0.5, 0.25, 0.125)
"""Keep ratios that are measured, beside the narrowest width and a dropped branch."""
_LEAST = 1e-9
"""Nats, and shares of variance, below which nothing is told apart."""


class Probe:
    """Divergences of policies that leave most of the network whole; what they leave is not computed again."""

    def __init__(self, dense: DenseNetwork, batches: Sequence[Tensor]) -> None:
        """Runs the dense network once over `batches`, images on its device."""
        self._dense, self._batches = dense, batches
        whole = dense.slimmed(dense_policy(dense.traced.graph))
        self._prefix = PrefixCache(whole, batches)
        with torch.inference_mode():
            self._reference = torch.cat([whole(batch).float().cpu() for batch in batches])

    def __call__(self, policy: CompressionPolicy) -> float:
        """Mean divergence from the dense network in nats."""
        traced = self._dense.traced
        whole = checked_policy(traced.graph, policy)
        kept = most_important(traced, whole, self._dense.scores)
        changed = {key.rpartition(".")[0] for key, _ in kept_entries(traced.channel_map, kept)}
        network = self._prefix.shortened(self._dense.slimmed(whole), changed)
        with torch.inference_mode():
            logits = torch.cat([network(batch).float().cpu() for batch in self._batches])
        return max(0.0, float(divergences(logits, self._reference).mean()))


def measured_table(
    dense: DenseNetwork,
    knobs: Sequence[Knob],
    probe: Callable[[CompressionPolicy], float],
    on_group: Callable[[str], None],
) -> SensitivityTable:
    """The table over all choices of `knobs`.

    Args:
        dense: Gives the error of the least squares of each width.
        knobs: One per prunable group.
        probe: Measures a policy.
        on_group: Called after each group.
    """
    whole = dense_policy(dense.traced.graph)
    rows = []
    for knob in knobs:
        measured = {}
        for width in _anchors(knob):
            measured[width] = probe(CompressionPolicy({**whole.channels, knob.target: width}))
        rows.append(_filled(knob, measured, dense.recovery.curve(knob.target)))
        on_group(knob.target)
    return SensitivityTable(tuple(knob.name for knob in knobs), tuple(knob.choices for knob in knobs), tuple(rows))


def _anchors(knob: Knob) -> list[int]:
    """Widths to measure, ascending; the whole group loses nothing."""
    choices = np.array([width for width in knob.choices if width > 0])
    nearest = {int(choices[np.abs(choices - ratio * choices[-1]).argmin()]) for ratio in _RATIOS}
    return sorted({knob.choices[0], int(choices[0]), *nearest} - {knob.choices[-1]})


def _filled(knob: Knob, measured: dict[int, float], curve: NDArray[np.float64]) -> tuple[float, ...]:
    """Losses of all choices: logarithms between the measured widths follow those of the curve.

    Args:
        knob: Its choices.
        measured: Width -> divergence; none for the whole group.
        curve: Error of the least squares at each number of channels.
    """
    if not measured:
        return (0.0,) * len(knob.choices)
    error = np.log(np.maximum(curve[np.array(knob.choices)], _LEAST))
    at = np.array([width in measured for width in knob.choices])
    known = np.log([max(measured[width], _LEAST) for width in knob.choices if width in measured])
    order = np.argsort(error[at], kind="stable")
    losses = np.exp(np.interp(error, error[at][order], known[order]))
    # Wider than all that was measured: in proportion to the error, which goes to nothing.
    losses *= np.exp(np.minimum(error - error[at].min(), 0.0))
    losses[at] = [measured[width] for width in knob.choices if width in measured]
    losses[-1] = 0.0
    return tuple(np.maximum.accumulate(losses[::-1])[::-1].tolist())
