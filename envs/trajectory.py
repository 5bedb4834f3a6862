"""A whole episode as an agent learns from it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.episode import Action, Episode
from envs.observation import Observation, Observer


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """What was seen and done."""

    observations: NDArray[np.float32]
    """Shape `(steps + 1, features)`."""
    actions: NDArray[np.float32]
    """Shape `(steps, kinds)`: as executed."""
    potentials: NDArray[np.float64]
    """Shape `(steps,)`: before each step."""

    def rewards(self, final: float, *, shaped: bool) -> NDArray[np.float64]:
        """Shape `(steps,)`: `final` at the end, and where `shaped` the differences of the potentials in between."""
        found = np.zeros(len(self.actions))
        found[-1] = final
        if shaped:
            found += np.diff(np.append(self.potentials, 0.0))  # an episode that has ended has no potential
        return found


def played(episode: Episode, observer: Observer, choose: Callable[[Observation], Action]) -> Trajectory:
    """Goes through `episode` with the actions that `choose` gives for what is seen."""
    return _walked(episode, observer, lambda seen: episode.act(choose(seen)))


def followed(episode: Episode, observer: Observer, target: NDArray[np.float64]) -> Trajectory:
    """Goes through `episode` to a known policy; see `Episode.follow` for `target`."""
    return _walked(episode, observer, lambda _: episode.follow(target))


def _walked(episode: Episode, observer: Observer, advance: Callable[[Observation], Action]) -> Trajectory:
    observations, actions, potentials = [observer(episode)], [], []
    while not episode.done:
        potentials.append(episode.potential())
        actions.append(advance(observations[-1]))
        observations.append(observer(episode))
    return Trajectory(np.stack(observations), np.stack(actions), np.array(potentials))
