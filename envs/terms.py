"""What the episodes of one environment have in common: the actions, what is seen, and what is rewarded."""

from dataclasses import dataclass

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike

from automl.core.errors import InputError
from automl.core.evaluation import Evaluation
from automl.core.problem import Problem
from envs.episode import Action, Episode
from envs.layout import Layout
from envs.mode import Mode, find_mode, new_episode
from envs.observation import Observation, Observer
from envs.reward import Reward, find_reward


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """How episodes of a problem are played."""

    layout: Layout
    observer: Observer
    mode: Mode
    reward: Reward
    shaped: bool
    """Whether steps are rewarded too."""

    @classmethod
    def of(cls, problem: Problem, mode: str, reward: str, *, shaped: bool) -> "Terms":
        """Asks the solver once.

        Raises:
            InputError: If there is no such mode or reward, nothing to decide, or nothing to shape.
        """
        found, rewarded = find_mode(mode), find_reward(reward)
        if shaped and found != "direct":
            raise InputError(
                f"Rewards are shaped where actions are values, but the mode is {mode!r}. Take `direct`, or no shaping."
            )
        layout = Layout.of(problem)
        return cls(layout, Observer(layout), found, rewarded, shaped)

    @property
    def action_space(self) -> spaces.Space[Action]:
        """Shape `(kinds,)`."""
        return spaces.Box(-1.0, 1.0, (len(self.layout.steps[0].knobs),), np.float32)

    @property
    def observation_space(self) -> spaces.Space[Observation]:
        """Shape `(features,)`."""
        return spaces.Box(0.0, 1.0, (len(self.observer.names),), np.float32)

    def start(self) -> Episode:
        """An episode at its start."""
        return new_episode(self.layout, self.mode)

    def advance(self, episode: Episode, action: Action) -> float:
        """Decides one layer, and returns what the step is worth before any evaluation: 0, or the change in potential.

        An episode that has ended has no potential.
        """
        if not self.shaped:
            episode.act(action)
            return 0.0
        before = episode.potential()
        episode.act(action)
        return (0.0 if episode.done else episode.potential()) - before

    def outcome(self, evaluation: Evaluation) -> float:
        """What an episode is worth at its end."""
        return float(self.reward(evaluation, self.layout.expected))


def checked_action(space: spaces.Space[Action], action: ArrayLike) -> Action:
    """`action` as float32; what is outside of [-1, 1] stays there.

    Args:
        space: Of one action, or of a batch.
        action: What the agent gave.

    Raises:
        InputError: If it does not have the shape of `space`, or is not finite.
    """
    wanted = np.asarray(action, dtype=np.float32)
    if wanted.shape != space.shape or not np.isfinite(wanted).all():
        raise InputError(f"An action must be {space.shape} finite numbers in [-1, 1], but got {action!r}.")
    return wanted
