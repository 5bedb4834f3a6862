"""The compression of a network as a gymnasium environment."""

from typing import Any

import gymnasium
from gymnasium.error import ResetNeeded

from automl.core.problem import Problem
from envs.episode import Action, Episode
from envs.facts import facts
from envs.observation import Observation
from envs.terms import Terms, checked_action


class CompressionEnv(gymnasium.Env[Observation, Action]):
    """Choose the channel widths and bit-widths of a network, layer by layer, within a budget.

    ## Description
    An episode makes one compression policy. Each step decides one layer: the width of the channel group that it makes
    and, where bit-widths are searched, the bits of its weights and of what it reads. Layers that share channels or
    bits are asked once, where the first of them stands. At the end the policy is evaluated, once; nothing else touches
    the network. Every policy is within the budget.

    ## Action Space
    `Box(-1, 1, (1,), float32)`, or `(3,)` where bits are searched: width, bits of the weights, bits of the inputs.
    Entries that a step has no use for are ignored.

    - `direct`: values, as in AMC (He et al. 2018) and HAQ (Wang et al. 2019). -1 and 1 are the least and the most from
      which a policy can be completed that is within the budget and uses it.
    - `residual`: corrections of the exact solver's answer, which 0 stands for. Each action is half the logarithm of a
      multiplier on one row of the sensitivity table; the solver is asked again at the end.

    ## Observation Space
    `Box(0, 1, (features,), float32)`: AMC's features of the layer, the error curve of what is decided at several widths
    and bits, the solver's choice, what is left of the budget, the last action. `feature_names` lists them.

    ## Rewards
    0, and at the end one of `envs.reward.REWARDS`: `kl` (minus the logarithm of the divergence from the dense network,
    over what the table expects of the solver's answer), `accuracy` and `accuracy-flops` (AMC's). With `shaped`, steps
    also get the difference of a potential made of the sensitivity table, which changes no ranking of policies (Ng et
    al. 1999); the sum over an episode stays the same.

    ## Starting State
    Nothing decided. Every reset gives the same observation: the environment has no randomness of its own.

    ## Episode End
    After the last decision; episodes are equally long and never truncated. The last `info` holds `channels`, `bits`,
    `divergence`, `accuracy`, `macs`, `params`, `size_bytes`, `bops` and `used`, the share of the tightest budget.

    ## Arguments
    - `problem`: what to search, with its budget and an evaluator.
    - `mode`: `residual` or `direct`.
    - `reward`: a name of `envs.reward.REWARDS`.
    - `shaped`: whether steps are rewarded too; with `direct` only.

    `gymnasium.make("envs.registration:automl/Compression-v0", problem=problem)` makes one.

    ## Version History
    - v0: first version.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"]}  # noqa: RUF012 - as gymnasium declares it

    def __init__(
        self,
        problem: Problem,
        *,
        mode: str = "residual",
        reward: str = "kl",
        shaped: bool = False,
        render_mode: str | None = None,
    ) -> None:
        """Asks the solver once.

        Raises:
            InputError: If there is no such mode or reward, nothing to decide, or nothing to shape.
        """
        self._terms = Terms.of(problem, mode, reward, shaped=shaped)
        self.render_mode = render_mode
        self._episode: Episode | None = None
        self.action_space = self._terms.action_space
        self.observation_space = self._terms.observation_space

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What each entry of an observation is."""
        return self._terms.observer.names

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Starts an episode; `options` has none."""
        super().reset(seed=seed)
        self._episode = self._terms.start()
        return self._terms.observer(self._episode), {}

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Decides one layer; evaluates the policy after the last one.

        Raises:
            InputError: If the action does not have the shape of the action space, or is not finite.
            ResetNeeded: If the episode has ended, or none was started.
        """
        episode, terms = self._running(), self._terms
        reward = terms.advance(episode, checked_action(self.action_space, action))
        if not episode.done:
            return terms.observer(episode), reward, False, False, {}
        problem = terms.layout.problem
        evaluation = problem.evaluate(episode.policy())
        return terms.observer(episode), reward + terms.outcome(evaluation), True, False, facts(problem, evaluation)

    def render(self) -> str | None:
        """What is decided so far, a line per step, where `render_mode` is "ansi"."""
        if self.render_mode is None:
            return None
        episode = self._running()
        knobs = self._terms.layout.problem.knobs
        lines = []
        for step in self._terms.layout.steps[: episode.step]:
            turned = (k for k in step.knobs if k is not None)
            said = (f"{knobs[k].kind} {episode.values[k]} of {knobs[k].choices[-1]}" for k in turned)
            lines.append(f"{step.layer}: {', '.join(said)}")
        return "\n".join(lines)

    def _running(self) -> Episode:
        if self._episode is None or self._episode.done:
            raise ResetNeeded("An episode must be started with `reset` before it goes on.")
        return self._episode
