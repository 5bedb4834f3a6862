"""An agent as Optuna asks it: all parameters of a trial at once."""

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from automl.core.problem import LARGEST_LOG, Problem
from automl.search.agent import Agent
from automl.search.agent_settings import AgentSettings, Algorithm
from automl.search.engine import Session
from automl.search.multipliers import multiplier_names
from automl.search.sampler import parameter_names
from automl.store.trials import settled


class AgentSampler(BaseSampler):
    """Log-multipliers or keep ratios, as the agent's actions are."""

    def __init__(self, problem: Problem, algorithm: Algorithm, settings: AgentSettings, session: Session) -> None:
        """With a new agent; it looks for its older state when it is first asked."""
        residual = settings.actions == "residual"
        self._agent = Agent(problem, algorithm, settings, session)
        self._names = multiplier_names(problem) if residual else parameter_names(problem)
        self._range = FloatDistribution(-LARGEST_LOG, LARGEST_LOG) if residual else FloatDistribution(0.0, 1.0)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All parameters, whatever earlier trials had."""
        return dict.fromkeys(self._names, self._range)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """What the agent proposes after it has learned from all completed trials."""
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        self._agent.learn(trials)
        proposed = np.clip(self._agent.propose(settled(study)), self._range.low, self._range.high)
        return dict(zip(self._names, proposed.tolist(), strict=True))

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never asked: the relative space holds all."""
        return self._range.low
