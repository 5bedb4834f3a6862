"""One pass over the decisions of a problem, from an agent's actions to a compression policy."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from automl.core.knob import policy_of
from automl.core.policy import CompressionPolicy
from automl.core.problem import LARGEST_LOG
from automl.core.projection import TARGET_USE, Values
from envs.layout import Layout

_LEAST_SHARE = 0.05
"""Of the expected loss; the first-order cost-to-go can fall below 0."""

Action = NDArray[np.float32]
"""Shape `(kinds,)`, in [-1, 1]: one entry per kind of knob, in the order of `decisions.KINDS`."""


class Episode(ABC):
    """Where an episode stands."""

    def __init__(self, layout: Layout) -> None:
        """Nothing is decided yet; values stand at the solver's answer."""
        self.layout = layout
        self.step = 0
        self.values: Values = layout.plain.copy()
        """Shape `(knobs,)`: as decided, else as the solver has it."""
        self.decided = np.zeros(len(layout.plain), dtype=bool)
        """Shape `(knobs,)`."""
        self.last: Action = np.zeros(len(layout.steps[0].knobs), dtype=np.float32)
        """The action executed in the step before."""

    @property
    def done(self) -> bool:
        """Whether all is decided."""
        return self.step == len(self.layout.steps)

    def act(self, action: Action) -> Action:
        """Takes the next step, and returns what was executed: the action that leads to the same values exactly.

        Entries without a knob, or whose knob has no alternative, are executed as 0.
        """
        return self._advance(lambda entry, knob: self._turn(knob, float(np.clip(action[entry], -1.0, 1.0))))

    def follow(self, target: NDArray[np.float64]) -> Action:
        """Takes the next step as a known policy has it, and returns the action that leads there, or nearest to it.

        Args:
            target: Shape `(knobs,)`: the policy's values; its log-multipliers where actions are corrections.
        """
        return self._advance(lambda entry, knob: self._set(knob, float(target[knob])))

    def potential(self) -> float:
        """Minus the logarithm of the loss that the table expects in the end, over that of the solver's answer.

        What is undecided stands at the solver's answer, and what is over or under its use of the budget has its price
        there: to the first order the cost-to-go, and any function of the state leaves the best policy as it is (Ng et
        al. 1999). 0 at the start.
        """
        layout, problem = self.layout, self.layout.problem
        rows = layout.with_drops(np.stack([self.values, layout.plain]))
        used, plain = problem.projection.used(rows).tolist()
        loss = sum(problem.sensitivity.parts(rows[0].tolist())) + layout.price * (used - plain)
        return -float(np.log(max(loss / layout.expected, _LEAST_SHARE))) if layout.expected > 0 else 0.0

    @abstractmethod
    def policy(self) -> CompressionPolicy:
        """What was decided, once all is: a policy within every budget."""

    @abstractmethod
    def _turn(self, knob: int, action: float) -> float:
        """Decides one knob by an action and returns what was executed."""

    @abstractmethod
    def _set(self, knob: int, target: float) -> float:
        """Decides one knob as a known policy has it and returns the action that leads there."""

    def _advance(self, decide: Callable[[int, int], float]) -> Action:
        executed = np.zeros_like(self.last)
        for entry, knob in enumerate(self.layout.steps[self.step].knobs):
            if knob is not None:
                executed[entry] = decide(entry, knob)
                self.decided[knob] = True
        self.step += 1
        self.last = executed
        return executed


class DirectEpisode(Episode):
    """Actions are values: keep ratios as in AMC (He et al. 2018), and bits as in HAQ (Wang et al. 2019).

    -1 and 1 are the ends of the interval that the budget leaves: with less than its lower end the rest of the network
    could not use the budget, with more than its upper end it could not meet it.
    """

    def policy(self) -> CompressionPolicy:
        """The values as decided; where steps are too coarse to use the budget, the projection fills it."""
        knobs, projection = self.layout.problem.knobs, self.layout.problem.projection
        return policy_of(knobs, projection(self.values.astype(np.float64)).tolist())

    def interval(self, knob: int) -> tuple[int, int]:
        """The least and the largest choice of a knob that a policy within the budget, and using it, can have."""
        layout = self.layout
        if ((self.values == 0) & self.decided) @ layout.goes_with[:, knob]:
            return 0, 0
        choices = np.array(layout.problem.knobs[knob].choices, dtype=np.int64)
        fits = self._used(layout.smallest, knob, choices) <= 1.0
        fills = self._used(layout.largest, knob, choices) >= TARGET_USE
        high = int(choices[fits][-1]) if fits.any() else int(choices[0])
        return min(int(choices[fills][0]), high) if fills.any() else high, high

    def _turn(self, knob: int, action: float) -> float:
        low, high = self.interval(knob)
        choices = np.array([each for each in self.layout.problem.knobs[knob].choices if low <= each <= high] or [low])
        wanted = low + (action + 1.0) / 2.0 * (high - low)
        self.values[knob] = choices[int(np.abs(choices - wanted).argmin())]
        return _place(float(self.values[knob]), low, high)

    def _set(self, knob: int, target: float) -> float:
        low, high = self.interval(knob)
        self.values[knob] = round(target)
        return _place(target, low, high)

    def _used(self, undecided: Values, knob: int, choices: Values) -> NDArray[np.float64]:
        """Share of the tightest budget for each choice, where all that is undecided stands at the given values."""
        rows = np.repeat(np.where(self.decided, self.values, undecided)[None], len(choices), axis=0)
        rows[:, knob] = choices
        return self.layout.problem.projection.used(self.layout.with_drops(rows))


class ResidualEpisode(Episode):
    """Actions correct the solver: each is the logarithm of a multiplier on one row of the sensitivity table.

    Zeros are the solver's plain answer; the solver makes a policy of all corrections at the end (SPDY, Frantar &
    Alistarh 2022), so that every episode uses the budget and meets it.
    """

    def __init__(self, layout: Layout) -> None:
        """No correction yet."""
        super().__init__(layout)
        self.log_multipliers = np.zeros(len(layout.plain))
        """Shape `(knobs,)`."""

    def policy(self) -> CompressionPolicy:
        """The solver's answer to the corrected table."""
        return self.layout.problem.solved(self.log_multipliers.tolist())

    def _turn(self, knob: int, action: float) -> float:
        self.log_multipliers[knob] = action * LARGEST_LOG
        return action

    def _set(self, knob: int, target: float) -> float:
        return self._turn(knob, float(np.clip(target / LARGEST_LOG, -1.0, 1.0)))


def _place(value: float, low: int, high: int) -> float:
    """From [low, high] to [-1, 1]; 0 where there is no choice."""
    return float(np.clip(2.0 * (value - low) / (high - low) - 1.0, -1.0, 1.0)) if high > low else 0.0
