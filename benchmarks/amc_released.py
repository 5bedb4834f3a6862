"""AMC's agent as released (He et al. 2018, mit-han-lab/amc), as a search engine.

Decisions, clipping, reward, warm-up and noise are those of the released code; DDPG is the one that our agents have.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.trial import BaseTrial, FrozenTrial, TrialState

from automl.core.policy import CompressionPolicy
from automl.core.problem import Problem
from automl.search.agent_settings import AgentSettings
from automl.search.engine import Session
from automl.search.learner import Learner, truncated_normal
from automl.search.lesson import given
from automl.search.sampler import parameter_names, uniform_policy
from automl.store.trials import recall
from benchmarks.amc_episode import AmcEpisode, AmcObserver, remembered
from envs.compression import CompressionEnv
from envs.episode import Action
from envs.layout import Layout
from envs.observation import Observation
from envs.reward import accuracy_reward
from envs.trajectory import played

WARMUP = 100
"""Episodes of random actions, during which nothing is trained."""
_RATIOS = FloatDistribution(0.0, 1.0)


@dataclass(frozen=True, slots=True)
class AmcReleased:
    """A trial's parameters are what the actor said, before any clipping; satisfies `search.engine.Engine`."""

    settings: AgentSettings
    """Those of `ddpg`; without a `warmup` it is `WARMUP`."""
    name: str = "AMC as released"
    most_trials: int | None = None

    def sampler(self, problem: Problem, session: Session) -> BaseSampler:
        """A new agent; it learns from the trials that there are.

        Raises:
            InputError: If there is more to search than widths, or another budget than one on flops.
        """
        return AmcSampler(problem, self.settings, session)

    def first(self, problem: Problem) -> Mapping[str, float] | None:
        """AMC begins at random."""
        return None

    def uniform(self, problem: Problem) -> Mapping[str, float]:
        """Its keep ratios; the agent does not learn from what it did not propose."""
        return dict(zip(parameter_names(problem), problem.ratios(uniform_policy(problem)), strict=True))

    def propose(self, problem: Problem, trial: BaseTrial) -> CompressionPolicy:
        """What an episode makes of the parameters; it may be over the budget."""
        episode = AmcEpisode(Layout.of(problem))
        for name in _names(episode.layout):
            episode.act(_action(trial.suggest_float(name, _RATIOS.low, _RATIOS.high)))
        return episode.policy()


class AmcSampler(BaseSampler):
    """DDPG as in the released code; what it is after n trials follows from these and the seed."""

    def __init__(self, problem: Problem, settings: AgentSettings, session: Session) -> None:
        """A new agent that has learned nothing."""
        self._layout = Layout.of(problem)
        AmcEpisode(self._layout)  # refuses what AMC does not know, before the first trial
        self._observer = AmcObserver(self._layout)
        self._names = _names(self._layout)
        self._settings, self._seed = settings, session.seed
        self._warmup = WARMUP if settings.warmup is None else settings.warmup
        env = CompressionEnv(problem, mode="direct")
        self._learner = Learner("ddpg", settings, env, len(self._names), session.seed)
        self._seen = self._episodes = 0

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All parameters, whatever earlier trials had."""
        return dict.fromkeys(self._names, _RATIOS)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """What the actor says after it has learned from all completed trials, on the scale of keep ratios."""
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        for each in trials[self._seen :]:
            self._learn_from(each)
        self._seen = len(trials)
        raw = self._said(np.random.default_rng([self._seed, 2, trial.number]))
        return {name: (float(action[0]) + 1.0) / 2.0 for name, action in zip(self._names, raw, strict=True)}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never asked: the relative space holds all."""
        return _RATIOS.low

    def _learn_from(self, trial: FrozenTrial) -> None:
        if given(trial):
            return  # the uniform policy, which it did not propose
        evaluation = recall(trial)
        raw = [_action(trial.params[name]) for name in self._names]
        reward = accuracy_reward(evaluation, self._layout.expected)
        self._learner.remember(remembered(self._layout, self._observer, raw), reward)
        if self._episodes >= self._warmup:
            self._learner.train_on_an_episode()
        self._episodes += 1

    def _said(self, generator: np.random.Generator) -> list[Action]:
        """The actor's own actions in one episode, one per step."""
        raw: list[Action] = []

        def choose(seen: Observation) -> Action:
            raw.append(self._chosen(seen, generator))
            return raw[-1]

        played(AmcEpisode(self._layout), self._observer, choose)
        return raw

    def _chosen(self, seen: Observation, generator: np.random.Generator) -> Action:
        if self._episodes < self._warmup:
            return generator.uniform(-1.0, 1.0, 1).astype(np.float32)
        spread = self._settings.noise * self._settings.decay ** (self._episodes - self._warmup)
        return truncated_normal(self._learner.act(seen, sampled=False), spread, generator)


def _names(layout: Layout) -> list[str]:
    """The parameters in the order of the steps, each of which turns one knob."""
    names = parameter_names(layout.problem)
    return [names[knob] for step in layout.steps for knob in step.knobs if knob is not None]


def _action(ratio: float) -> Action:
    """From [0, 1] to [-1, 1]."""
    return np.array([2.0 * ratio - 1.0], dtype=np.float32)
