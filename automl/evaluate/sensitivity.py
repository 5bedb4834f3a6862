"""Measures the sensitivity table: the divergence of the network with one knob turned.

Groups are narrowed to a few widths each; between these the error of the least squares, which is known for every width,
gives the shape. Weights and inputs of layers are rounded to every bit-width.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.compress.calibration import Singles, round_singly
from automl.compress.importance import most_important
from automl.compress.operators import module_of
from automl.compress.places import IMAGES
from automl.compress.quantized import QuantizedNetwork
from automl.compress.surgery import kept_entries
from automl.core.knob import Knob
from automl.core.policy import CompressionPolicy, checked_policy, dense_policy, with_dead_groups
from automl.core.sensitivity import SensitivityTable
from automl.evaluate.dense import DenseNetwork
from automl.evaluate.measure import divergences
from automl.evaluate.prefix import PrefixCache

_RATIOS = (0.75, 0.5, 0.25, 0.125)
"""Keep ratios that are measured, beside the narrowest width and a dropped branch."""
_ROUNDING_IMAGES = 32
"""Calibration images that layers are rounded on."""
_LEAST = 1e-9
"""Nats, and shares of variance, below which nothing is told apart."""


class Probe:
    """Divergences of networks with one knob turned; what they leave of the dense one is not computed again."""

    def __init__(self, dense: DenseNetwork, batches: Sequence[Tensor]) -> None:
        """Runs the dense network once over `batches`, images on its device."""
        self._dense, self._batches = dense, batches
        whole = dense.slimmed(dense_policy(dense.traced.graph))
        self._prefix = PrefixCache(whole, batches)
        with torch.inference_mode():
            self._reference = torch.cat([whole(batch).float().cpu() for batch in batches])
        self._singles = Singles({}, {})

    def round(self, knobs: Sequence[Knob]) -> None:
        """Rounds each layer to every bit-width that one of `knobs` has, for `of_weights` and `of_inputs`."""
        choices: dict[str, set[int]] = {"weight_bits": set(), "input_bits": set()}
        for knob in knobs:
            choices.get(knob.kind, set()).update(knob.choices)
        if any(choices.values()):
            whole = self._dense.slimmed(dense_policy(self._dense.traced.graph))
            images = self._dense.calibration[:_ROUNDING_IMAGES]
            bits = sorted(choices["weight_bits"]), sorted(choices["input_bits"])
            self._singles = round_singly(whole, self._dense.places, *bits, images)

    def of_widths(self, policy: CompressionPolicy) -> float:
        """Mean divergence of the policy's float network from the dense one, in nats."""
        traced = self._dense.traced
        whole = checked_policy(traced.graph, policy)
        kept = most_important(traced, whole, self._dense.scores)
        changed = {key.rpartition(".")[0] for key, _ in kept_entries(traced.channel_map, kept)}
        return self._measured(self._prefix.shortened(self._dense.slimmed(whole), changed))

    def of_weights(self, layer: str, bits: int) -> float:
        """Mean divergence, in nats, of the dense network with one layer's weights rounded."""
        network = self._dense.slimmed(dense_policy(self._dense.traced.graph))
        weight, bias = self._singles.weights[layer, bits]
        network.get_submodule(layer)._parameters.update(weight=nn.Parameter(weight), bias=nn.Parameter(bias))
        return self._measured(self._prefix.shortened(network, [layer]))

    def of_inputs(self, layer: str, bits: int) -> float:
        """Mean divergence, in nats, of the dense network with what `layer` reads rounded, and what is tied to that."""
        places = self._dense.places
        keys = next(tied for tied in places.tied if places.reads[layer] in tied)
        grids = {key: self._singles.activations[key, bits] for key in keys if (key, bits) in self._singles.activations}
        network = self._dense.slimmed(dense_policy(self._dense.traced.graph))
        shortened = self._prefix.shortened(network, {"" if key == IMAGES else module_of(key) for key in keys})
        return self._measured(QuantizedNetwork(shortened, {}, {}, grids))

    def _measured(self, network: nn.Module) -> float:
        with torch.inference_mode():
            logits = torch.cat([network(batch).float().cpu() for batch in self._batches])
        return max(0.0, float(divergences(logits, self._reference).mean()))


def measured_table(
    dense: DenseNetwork, knobs: Sequence[Knob], probe: Probe, on_knob: Callable[[str], None]
) -> SensitivityTable:
    """The table over all choices of `knobs`.

    Args:
        dense: Gives the error of the least squares of each width.
        knobs: Of the channels, one per prunable group, and of the bits.
        probe: Measures one knob at a time.
        on_knob: Called after each knob.
    """
    probe.round([knob for knob in knobs if len(knob.choices) > 1])
    rows = []
    for knob in knobs:
        rows.append(_width_row(dense, knob, probe) if knob.kind == "channels" else _bit_row(knob, probe))
        on_knob(knob.name)
    return SensitivityTable(tuple(knob.name for knob in knobs), tuple(knob.choices for knob in knobs), tuple(rows))


def _width_row(dense: DenseNetwork, knob: Knob, probe: Probe) -> tuple[float, ...]:
    graph = dense.traced.graph
    whole = dense_policy(graph).channels
    measured = {
        width: probe.of_widths(CompressionPolicy(with_dead_groups(graph, {**whole, knob.target: width})))
        for width in _anchors(knob)
    }
    return _filled(knob, measured, dense.recovery.curve(knob.target))


def _bit_row(knob: Knob, probe: Probe) -> tuple[float, ...]:
    """Losses of each bit-width; nothing where there is no choice."""
    if len(knob.choices) == 1:
        return (0.0,)
    of_bits = probe.of_weights if knob.kind == "weight_bits" else probe.of_inputs
    losses = np.array([of_bits(knob.target, bits) for bits in knob.choices])
    return tuple(np.maximum.accumulate(losses[::-1])[::-1].tolist())


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
