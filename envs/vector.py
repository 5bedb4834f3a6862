"""Several episodes in lockstep, whose policies are evaluated as one batch."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from automl.core.errors import InputError
from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from automl.core.problem import Problem
from envs.episode import Action, Episode
from envs.facts import facts
from envs.observation import Observation
from envs.terms import Terms, checked_action

EvaluateAll = Callable[[Sequence[CompressionPolicy]], Sequence[Evaluation]]
"""Different policies -> what each of them is worth, in the same order."""

Step = tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]
"""Observations of shape `(num_envs, features)`; rewards, terminations and truncations of shape `(num_envs,)`; infos."""


class CompressionVectorEnv(VectorEnv[Observation, Action, NDArray[Any]]):
    """Several episodes of `CompressionEnv` at once, over one problem.

    ## Description
    Each episode makes a policy of its own. They are equally long, so all of them end in the same step; then their
    policies are evaluated as one batch, each different policy once. An evaluation is what an episode costs: where
    `evaluate_all` measures a batch at once, or on several devices, episodes take its time together.

    ## Action Space
    A batch of `CompressionEnv`'s: `Box(-1, 1, (num_envs, 1), float32)`, or `(num_envs, 3)` where bits are searched.

    ## Observation Space
    A batch of `CompressionEnv`'s: `Box(0, 1, (num_envs, features), float32)`. `feature_names` lists the features.

    ## Rewards
    `CompressionEnv`'s, of shape `(num_envs,)`.

    ## Starting State
    Nothing decided, in every episode. The environment has no randomness of its own.

    ## Episode End
    All episodes end in the same step, and are never truncated. The last `infos` holds the facts of `CompressionEnv` as
    arrays with a mask each. `metadata["autoreset_mode"]` is `AutoresetMode.NEXT_STEP`, as in `SyncVectorEnv`: the step
    after the last one ignores its actions, rewards nothing and returns the first observations of new episodes.

    ## Arguments
    - `problem`, `mode`, `reward`, `shaped`: as `CompressionEnv` takes them.
    - `num_envs`: how many episodes, at least 1.
    - `evaluate_all`: measures different policies; None takes `problem.evaluate`, one after the other.

    `gymnasium.make_vec("envs.registration:automl/Compression-v0", num_envs=4, problem=problem)` makes one.

    ## Version History
    - v0: first version.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 - as gymnasium declares it

    def __init__(
        self,
        problem: Problem,
        num_envs: int,
        *,
        mode: str = "residual",
        reward: str = "kl",
        shaped: bool = False,
        evaluate_all: EvaluateAll | None = None,
    ) -> None:
        """Asks the solver once.

        Raises:
            InputError: If there is no episode, no such mode or reward, nothing to decide, or nothing to shape.
        """
        if num_envs < 1:
            raise InputError(f"A vector environment must have at least 1 episode, but `num_envs` is {num_envs}.")
        self.num_envs = num_envs
        self._terms = Terms.of(problem, mode, reward, shaped=shaped)
        self._evaluate_all = evaluate_all
        self._episodes: tuple[Episode, ...] = ()
        self.single_action_space = self._terms.action_space
        self.single_observation_space = self._terms.observation_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What each entry of an episode's observation is."""
        return self._terms.observer.names

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Starts all episodes anew.

        Args:
            seed: Changes nothing but `np_random`, which the environment does not use.
            options: May have `reset_mask`, of shape `(num_envs,)`, as gymnasium knows it; it must name every episode.

        Raises:
            InputError: If only some of the episodes are to be reset.
        """
        super().reset(seed=seed)
        mask = (options or {}).get("reset_mask", True)
        if not np.all(mask):
            raise InputError(
                f"Episodes in lockstep must be reset together, but `reset_mask` is {mask!r}. Leave it out, or take "
                'single environments: `gymnasium.make_vec(..., vectorization_mode="sync")`.'
            )
        self._episodes = tuple(self._terms.start() for _ in range(self.num_envs))
        return self._seen(), {}

    def step(self, actions: Action) -> Step:
        """Decides one layer in each episode; evaluates the policies after the last one.

        Raises:
            InputError: If the actions do not have the shape of the action space, or are not finite; no episode has
                moved then. Also if `evaluate_all` does not return one evaluation per policy.
            ResetNeeded: If no episodes were started, or an evaluation failed.
        """
        if not self._episodes:
            raise ResetNeeded("Episodes must be started with `reset` before they go on.")
        never = np.zeros(self.num_envs, dtype=np.bool_)
        if self._episodes[0].done:
            seen, infos = self.reset()
            return seen, np.zeros(self.num_envs), never, never.copy(), infos
        wanted = checked_action(self.action_space, actions)
        rewards = np.array([self._terms.advance(each, row) for each, row in zip(self._episodes, wanted, strict=True)])
        if not self._episodes[0].done:
            return self._seen(), rewards, never, never.copy(), {}
        seen = self._seen()
        outcomes, infos = self._outcomes()
        return seen, rewards + outcomes, ~never, never, infos

    def _seen(self) -> Observation:
        return np.stack([self._terms.observer(episode) for episode in self._episodes])

    def _outcomes(self) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """What the episodes are worth, which have ended, and the facts of their policies."""
        ended, self._episodes = self._episodes, ()  # where an evaluation fails, there is nothing to go on with
        evaluations = self._evaluated([episode.policy() for episode in ended])
        self._episodes = ended
        infos: dict[str, Any] = {}
        for place, evaluation in enumerate(evaluations):
            infos = self._add_info(infos, facts(self._terms.layout.problem, evaluation), place)
        return np.array([self._terms.outcome(each) for each in evaluations]), infos

    def _evaluated(self, policies: Sequence[CompressionPolicy]) -> list[Evaluation]:
        """One evaluation per policy; equal policies share one."""
        distinct = list(dict.fromkeys(policies))
        if self._evaluate_all is None:
            found: Sequence[Evaluation] = [self._terms.layout.problem.evaluate(policy) for policy in distinct]
        else:
            found = self._evaluate_all(distinct)
        if len(found) != len(distinct):
            raise InputError(
                f"`evaluate_all` must return one evaluation per policy, in their order, but it got {len(distinct)} and "
                f"returned {len(found)}."
            )
        by_policy = dict(zip(distinct, found, strict=True))
        return [by_policy[policy] for policy in policies]
