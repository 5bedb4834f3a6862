"""An agent as Optuna asks it: all parameters of a trial at once."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
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
        """With new agents; they look for their older states when they are first asked."""
        residual = settings.actions == "residual"
        self._agents = [Agent(problem, algorithm, settings, _own(session, turn)) for turn in range(settings.seeds)]
        self._names = multiplier_names(problem) if residual else parameter_names(problem)
        self._range = FloatDistribution(-LARGEST_LOG, LARGEST_LOG) if residual else FloatDistribution(0.0, 1.0)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All parameters, whatever earlier trials had."""
        return dict.fromkeys(self._names, self._range)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """What the agent whose turn it is proposes, after all have learned from all completed trials."""
        found = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        # In the order in which they ended here: other workers end theirs out of turn.
        trials = sorted(found, key=_ended)
        for agent in self._agents:
            agent.learn(trials)
        agent = self._agents[len(trials) % len(self._agents)]
        proposed = np.clip(agent.propose(settled(study)), self._range.low, self._range.high)
        return dict(zip(self._names, proposed.tolist(), strict=True))

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never asked: the relative space holds all."""
        return self._range.low


def _ended(trial: FrozenTrial) -> datetime:
    assert trial.datetime_complete is not None
    return trial.datetime_complete


def _own(session: Session, turn: int) -> Session:
    """What one of several agents sees of it: a seed, a folder and curves of its own."""

    def log(values: Mapping[str, float], step: int) -> None:
        session.log({f"agent {turn}/{name}": value for name, value in values.items()}, step)

    base = session.seed if session.worker == 0 else session.own_seed
    seed = base if turn == 0 else int(np.random.SeedSequence([base, turn]).generate_state(1)[0])
    folder = None if session.folder is None else session.folder / str(turn)
    return replace(session, seed=seed, folder=folder, log=log)
