"""Random sensitivity tables of the shape that measured ones have."""

from collections.abc import Sequence

import numpy as np

from automl.core.knob import Knob
from automl.core.sensitivity import SensitivityTable


def random_table(knobs: Sequence[Knob], generator: np.random.Generator) -> SensitivityTable:
    """Losses that grow as widths shrink, steeply near 0; some groups matter a hundred times as much as others.

    A dropped branch loses up to half as much again as its narrowest width. A bit less quadruples what bits lose, as it
    does the square of the rounding error.
    """
    rows = []
    for knob in knobs:
        if knob.kind != "channels":
            at_four_bits = 10 ** generator.uniform(-2.5, -0.5)
            rows.append(tuple(float(at_four_bits * 4.0 ** (4 - bits)) for bits in knob.choices))
            continue
        kept = np.array([width for width in knob.choices if width]) / knob.choices[-1]
        scale, power, steep = 10 ** generator.uniform(-2, 0), generator.uniform(1.5, 3), generator.uniform(0.01, 0.1)
        losses = scale * ((1 - kept) ** power + steep * (1 / kept - 1))
        dropped = [losses[0] * generator.uniform(1, 1.5)] if knob.choices[0] == 0 else []
        rows.append((*map(float, dropped), *losses.tolist()))
    return SensitivityTable(tuple(k.name for k in knobs), tuple(k.choices for k in knobs), tuple(rows))
