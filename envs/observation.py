"""What an agent sees before each step: AMC's features of the layer, and what the sensitivity table and solver know."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from automl.core.graph import Layer
from automl.core.knob import Knob
from envs.decisions import KINDS, Decision
from envs.episode import Episode
from envs.layout import Layout

Observation = NDArray[np.float32]
"""Shape `(features,)`, in [0, 1]."""

_RATIOS = (0.125, 0.25, 0.5, 0.75)
"""Keep ratios at which the error curve of a group is shown."""
_PLACES = (0.0, 0.5)
"""Places between the fewest and the most bits at which those of the bits are."""
_DECADES = 6.0
"""Losses so much below the largest of the table are shown as 0."""
_LARGEST_LOG2 = 12.0
"""Of channels and sizes: 4,096."""
_LARGEST_KERNEL = 11.0
_LARGEST_STRIDE = 4.0


class Observer:
    """Makes observations; what does not change during an episode is computed once."""

    def __init__(self, layout: Layout) -> None:
        """Lays out the features of every step."""
        self._layout = layout
        layers = {layer.name: layer for layer in layout.problem.graph.layers}
        kept = {group.name: group.channels for group in layout.problem.graph.groups}
        macs = np.array([layers[step.layer].macs(kept) for step in layout.steps], dtype=np.float64)
        shares = macs / max(layout.problem.dense.macs, 1)
        rest = np.concatenate([np.cumsum(shares[::-1])[::-1][1:], [0.0]])
        features = [
            {
                "place": t / max(len(layout.steps) - 1, 1),
                **_layer_features(layers[step.layer], kept),
                "macs": share,
                "rest": later,
                **_table_features(layout, step),
            }
            for t, (step, share, later) in enumerate(zip(layout.steps, shares.tolist(), rest.tolist(), strict=True))
        ]
        limits = [limit.metric.value for limit in layout.problem.budget.limits]
        self._fixed = np.array([list(each.values()) for each in [*features, dict.fromkeys(features[0], 0.0)]])
        self._allowed = _allowed(layout)
        self.names: tuple[str, ...] = (
            *features[0],
            "removed",
            "expected",
            *(f"{each} {limit}" for each in ("allowed", "least", "most") for limit in limits),
            *(f"last {kind}" for kind in KINDS[: len(layout.steps[0].knobs)]),
        )
        """One per feature: of the layer `place` to `rest`; of the table `loss at ...` and `solver's ...`; then what
        changes during the episode: `removed` (share of the MACs), `expected` (0.5: as much loss as the solver's answer,
        more is better), for each limit what it allows of the dense cost, and the least and the most of it that can
        still be used, and the last action."""

    def __call__(self, episode: Episode) -> Observation:
        """What there is to know before the next step; after the last one, the features of the layer are 0."""
        problem = self._layout.problem
        ends = np.stack([self._layout.smallest, self._layout.largest])
        rows = self._layout.with_drops(np.where(episode.decided, episode.values, ends))
        least, most = problem.projection.shares(rows)
        widths = rows[1:, : len(problem.graph.prunable)].astype(np.float64)
        removed = 1.0 - float(problem.cost_model.forms[0](widths)[0]) / problem.dense.macs
        changing = [
            [removed, 1.0 / (1.0 + math.exp(-episode.potential()))],
            self._allowed,
            least,
            # From 1, where the budget is just used, up to all that the network could use.
            most / (1.0 + most),
            (episode.last + 1.0) / 2.0,
        ]
        found = np.concatenate([self._fixed[episode.step], *changing])
        return np.asarray(np.clip(found, 0.0, 1.0), dtype=np.float32)


def _allowed(layout: Layout) -> NDArray[np.float64]:
    problem = layout.problem
    shares = [limit.absolute(problem.dense) / limit.metric.of(problem.dense) for limit in problem.budget.limits]
    return np.array(shares, dtype=np.float64)


def _layer_features(layer: Layer, kept: Mapping[str, int]) -> dict[str, float]:
    """AMC's (He et al. 2018, section 3.2), on scales that do not depend on the network."""
    return {
        "depthwise": float(layer.kind == "depthwise"),
        "linear": float(layer.kind == "linear"),
        "outputs": math.log2(max(layer.outputs.size(kept), 1)) / _LARGEST_LOG2,
        "inputs": math.log2(max(layer.inputs.size(kept), 1)) / _LARGEST_LOG2,
        "height": math.log2(max(layer.out_size[0], 1)) / _LARGEST_LOG2,
        "width": math.log2(max(layer.out_size[1], 1)) / _LARGEST_LOG2,
        "stride": layer.stride[0] / _LARGEST_STRIDE,
        "kernel": layer.kernel[0] / _LARGEST_KERNEL,
    }


def _table_features(layout: Layout, step: Decision) -> dict[str, float]:
    """The error curves of the step's knobs, and what the solver chooses; 0 where there is no knob."""
    table = layout.problem.sensitivity
    found: dict[str, float] = {}
    largest = max(row[0] for row in table.losses)
    for kind, knob in zip(KINDS, step.knobs, strict=False):
        at = _RATIOS if kind == "channels" else _PLACES
        losses = [0.0] * len(at)
        level = 0.0
        if knob is not None:
            choices = layout.problem.knobs[knob].choices
            wanted = [_at(layout.problem.knobs[knob], place) for place in at]
            curve = np.interp(wanted, choices, table.losses[knob])
            losses = [_scaled(loss, largest) for loss in curve.tolist()]
            level = _level(layout.problem.knobs[knob], int(layout.plain[knob]))
        found |= {f"loss at {place:g} of {kind}": loss for place, loss in zip(at, losses, strict=True)}
        found[f"solver's {kind}"] = level
    return found


def _at(knob: Knob, place: float) -> float:
    least = 0 if knob.kind == "channels" else knob.choices[0]
    return least + place * (knob.choices[-1] - least)


def _level(knob: Knob, value: int) -> float:
    least = 0 if knob.kind == "channels" else knob.choices[0]
    span = knob.choices[-1] - least
    return (value - least) / span if span else 1.0


def _scaled(loss: float, largest: float) -> float:
    """The logarithm of a loss: 1 for the largest of the table, 0 for what is `_DECADES` below."""
    return max(1.0 + math.log10(loss / largest) / _DECADES, 0.0) if loss > 0 else 0.0
