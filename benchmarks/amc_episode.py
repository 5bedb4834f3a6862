"""AMC's decisions and what its agent sees, as in the released code (He et al. 2018, mit-han-lab/amc)."""

import numpy as np

from automl.core.budget import Metric
from automl.core.errors import InputError
from automl.core.knob import policy_of
from automl.core.policy import CompressionPolicy
from automl.core.problem import Problem
from envs.episode import Action, Episode
from envs.layout import Layout
from envs.observation import Observation, Observer
from envs.trajectory import Trajectory, played

LEAST_RATIO = 0.2
"""AMC's `lbound`."""
_BISECTIONS = 40
_NOT_AMCS = ("loss at ", "solver's ", "expected")
"""How the names begin of what comes from the sensitivity table or the solver."""


class AmcEpisode(Episode):
    """One keep ratio per step, cut to the wall, then to at least `LEAST_RATIO`, and only then rounded up.

    Nothing is projected or filled afterwards, so that a policy may be over the budget, or far below it. No branch is
    dropped.
    """

    def __init__(self, layout: Layout) -> None:
        """Nothing is decided yet.

        Raises:
            InputError: If there is more to search than widths, or another budget than one on flops.
        """
        super().__init__(layout)
        problem = layout.problem
        _check(problem)
        self._full = layout.largest.astype(np.float64)
        self._allowed = min(limit.absolute(problem.dense) for limit in problem.budget.limits)

    def policy(self) -> CompressionPolicy:
        """The widths as decided, whatever they cost."""
        return policy_of(self.layout.problem.knobs, self.values.tolist())

    def wall(self, knob: int) -> float:
        """The largest ratio, before rounding, with which the budget is met if the undecided rest has `LEAST_RATIO`."""
        low, high = 0.0, 1.0
        if self._macs(knob, high) <= self._allowed:
            return high
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2.0
            low, high = (middle, high) if self._macs(knob, middle) <= self._allowed else (low, middle)
        return low

    def _turn(self, knob: int, action: float) -> float:
        ratio = max(min((action + 1.0) / 2.0, self.wall(knob)), LEAST_RATIO)
        wanted = max(round(self._full[knob] * ratio), 1)  # so that 0, where it is a choice, is never taken
        return self._set(knob, float(wanted))

    def _set(self, knob: int, target: float) -> float:
        """Takes the next choice from `target` up."""
        choices = self.layout.problem.knobs[knob].choices
        self.values[knob] = next(choice for choice in choices if choice >= target)
        return float(2.0 * self.values[knob] / self._full[knob] - 1.0)

    def _macs(self, knob: int, ratio: float) -> float:
        widths = np.where(self.decided, self.values, LEAST_RATIO * self._full)
        widths[knob] = ratio * self._full[knob]
        return float(self.layout.problem.cost_model.forms[0](widths[None])[0])


class AmcObserver(Observer):
    """AMC's features alone; what the sensitivity table and the solver say is 0."""

    def __init__(self, layout: Layout) -> None:
        """Finds out which features are AMC's."""
        super().__init__(layout)
        self._amcs = np.array([not name.startswith(_NOT_AMCS) for name in self.names])

    def __call__(self, episode: Episode) -> Observation:
        """As many features as ever, so that networks are as large as those of the other agents."""
        return np.where(self._amcs, super().__call__(episode), np.float32(0.0))


def remembered(layout: Layout, observer: Observer, raw: list[Action]) -> Trajectory:
    """An episode as the released code remembers it: with the actor's own actions instead of the executed ones.

    Args:
        layout: Of the problem.
        observer: What the agent sees.
        raw: What the actor said, one action per step.
    """
    said = iter(raw)
    walked = played(AmcEpisode(layout), observer, lambda _: next(said))
    return Trajectory(walked.observations, np.stack(raw), walked.potentials)


def _check(problem: Problem) -> None:
    others = sorted({limit.metric.value for limit in problem.budget.limits if limit.metric is not Metric.FLOPS})
    if others:
        raise InputError(f"AMC as released knows budgets on flops only, but got one on {', '.join(others)}.")
    if any(knob.kind != "channels" for knob in problem.knobs):
        raise InputError("AMC as released searches widths only, but bit-widths are searched too. Leave it out.")
