"""What is the same in every episode of a problem."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.core.errors import InputError
from automl.core.exchange import exchange
from automl.core.problem import Problem
from automl.core.projection import Values
from envs.decisions import Decision, decisions


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The steps of an episode, and the solver's plain answer, which they are held against."""

    problem: Problem
    steps: tuple[Decision, ...]
    """One per step of an episode."""
    smallest: Values
    """Shape `(knobs,)`: the fewest channels above 0, and the fewest bits."""
    largest: Values
    """Shape `(knobs,)`."""
    goes_with: NDArray[np.bool_]
    """Shape `(knobs, knobs)`: whether the knob of the column is 0 where that of the row drops its branch."""
    plain: Values
    """Shape `(knobs,)`: the solver's answer to the table as it is."""
    expected: float
    """Loss of that answer in nats, by the table."""
    price: float
    """Nats that the table gives for the whole of the tightest budget, near that answer."""

    @classmethod
    def of(cls, problem: Problem) -> "Layout":
        """Asks the solver once.

        Raises:
            InputError: If there is nothing to decide.
        """
        knobs = problem.knobs
        if not knobs:
            raise InputError(
                "An environment must have something to decide, but no channel group can be pruned and no bits are "
                "searched. `automl describe MODEL` says why groups stay whole; `--bits 4,8` searches bit-widths."
            )
        drops = {group.name: set(group.drops) for group in problem.graph.prunable}
        goes_with = [[a.kind == b.kind == "channels" and b.target in drops[a.target] for b in knobs] for a in knobs]
        plain = problem.values(problem.solved([0.0] * len(knobs)))
        steps = exchange(problem.sensitivity, problem.projection, plain)
        rates = steps.gain[steps.known] / steps.price[steps.known]
        return cls(
            problem=problem,
            steps=decisions(problem.graph, knobs),
            smallest=np.array([next((c for c in knob.choices if c > 0), 0) for knob in knobs], dtype=np.int64),
            largest=np.array([knob.choices[-1] for knob in knobs], dtype=np.int64),
            goes_with=np.array(goes_with, dtype=bool),
            plain=plain,
            expected=sum(problem.sensitivity.parts(plain.tolist())),
            price=float(np.median(rates)) if len(rates) else 0.0,
        )

    def with_drops(self, rows: Values) -> Values:
        """`rows`, of shape `(rows, knobs)`, with 0 for all that goes with a dropped branch."""
        return np.where((rows == 0) @ self.goes_with, 0, rows)
