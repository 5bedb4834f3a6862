"""What the last step of each knob gains and costs: near an optimum all knobs give the same loss per share of budget."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.core.projection import Projection, Values
from automl.core.sensitivity import SensitivityTable


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """From one choice below to one choice above the values of a policy, knob by knob."""

    gain: NDArray[np.float64]
    """Shape `(knobs,)`: loss in nats that the step takes away, by the table."""
    price: NDArray[np.float64]
    """Shape `(knobs,)`: share of the tightest budget that it takes."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """Shape `(knobs,)`: where the step both gains and costs."""
        return np.asarray((self.gain > 0) & (self.price > 0), dtype=bool)


def exchange(table: SensitivityTable, projection: Projection, values: Values) -> Exchange:
    """The steps around `values`, of shape `(knobs,)`; none where a knob has one choice."""
    below, above = values.copy(), values.copy()
    gain = np.zeros(len(values))
    for k, (choices, losses) in enumerate(zip(table.choices, table.losses, strict=True)):
        at = int(np.searchsorted(choices, values[k]))
        low, high = max(at - 1, 0), min(at + 1, len(choices) - 1)
        below[k], above[k] = choices[low], choices[high]
        gain[k] = losses[low] - losses[high]
    narrower, wider = np.repeat(values[None], len(values), axis=0), np.repeat(values[None], len(values), axis=0)
    np.fill_diagonal(narrower, below)
    np.fill_diagonal(wider, above)
    return Exchange(gain, projection.used(wider) - projection.used(narrower))
