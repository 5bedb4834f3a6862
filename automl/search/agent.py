"""An agent that learns from completed trials and proposes new ones by playing episodes."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from automl.core.errors import RunError
from automl.core.problem import Problem
from automl.search.agent_settings import AgentSettings, Algorithm
from automl.search.agent_state import AgentState, read_states, write_state
from automl.search.engine import Session
from automl.search.learner import Learner, truncated_normal
from automl.search.lesson import given, lesson_of
from automl.search.pretraining import rehearsals
from automl.search.randomness import own_randomness
from automl.store.trials import ENGINE
from envs.compression import CompressionEnv
from envs.episode import Action, Episode, ResidualEpisode
from envs.layout import Layout
from envs.mode import find_mode, new_episode
from envs.observation import Observation, Observer
from envs.trajectory import followed, played

_MOST_WARMUP = 100
"""Of AMC's episodes (He et al. 2018)."""
_WARMUP_SHARE = 4
"""The warm-up takes at most a quarter of the trials, as AMC's 100 of 400 do."""
_LEAST_NOISE = 0.02
_ATTEMPTS = 16
"""Episodes until one gives a policy that was not evaluated yet."""
_WIDENING = 1.2
"""Factor on the noise of each further one."""
_FIRST_STREAM = 10
"""Of random numbers: agents of one seed explore differently."""
_REUSE = 4
"""Transitions of the pretraining per gradient step and update."""


class Agent:
    """Learns from completed trials in their order, and plays episodes for new ones.

    What it is after n trials follows from these, its settings and the seed alone: a killed search goes on bit by bit as
    an uninterrupted one, from the newest whole state or from none.
    """

    def __init__(self, problem: Problem, algorithm: Algorithm, settings: AgentSettings, session: Session) -> None:
        """A new agent, or one that goes on from what an older one left in the session's folder.

        Raises:
            RunError: If the older one had other settings; the difference is named.
        """
        self._problem, self._settings, self._session = problem, settings, session
        self._mode = find_mode(settings.actions)
        self._layout = Layout.of(problem)
        self._observer = Observer(self._layout)
        self._algorithm, self._samples = algorithm, algorithm == "sac"
        self._stream = _FIRST_STREAM + get_args(Algorithm).index(algorithm)
        env = CompressionEnv(problem, mode=settings.actions)
        self._learner = Learner(algorithm, settings, env, len(self._layout.steps), session.seed)
        self._identity = {
            "algorithm": algorithm,
            "seed": session.seed,
            **asdict(settings),
            "steps": len(self._layout.steps),
            "features": list(self._observer.names),
        }
        self._older = [] if session.folder is None else read_states(session.folder, self._identity)
        quarter = min(session.asked // _WARMUP_SHARE, _MOST_WARMUP)
        self._warmup = quarter if settings.warmup is None else settings.warmup
        self._learned = 0
        self._history = hashlib.sha256()
        self._begun = False

    def learn(self, trials: Sequence[FrozenTrial]) -> None:
        """Learns from those of the completed trials that it has not learned from; its state is on disk at the end."""
        if not self._begun:
            self._begin(trials)
        for trial in trials[self._learned :]:
            self._learn_from(trial)
        if trials:
            self._keep()

    def propose(self, known: frozenset[str]) -> NDArray[np.float64]:
        """What the next trial should be: log-multipliers, or ratios, of shape `(knobs,)`.

        Args:
            known: Digests of policies that need no evaluation; others are preferred.
        """
        generator = np.random.default_rng([self._session.seed, self._stream, self._learned])
        with own_randomness(int(generator.integers(2**31))):
            for attempt in range(_ATTEMPTS):
                episode = self._played(generator, self._noise() * _WIDENING**attempt)
                policy = episode.policy()
                if policy.digest() not in known:
                    break
        if isinstance(episode, ResidualEpisode):
            return episode.log_multipliers
        return np.array(self._problem.ratios(policy))

    def _begin(self, trials: Sequence[FrozenTrial]) -> None:
        """Goes on from a state of the first of these trials, or pretrains."""
        self._begun = True
        state = self._found(trials)
        self._older = []
        if state is not None:
            self._restore(state)
            self._warmup = state.warmup
            for trial in trials[: state.learned]:
                self._note(trial)
        elif self._settings.pretrain:
            generator = np.random.default_rng([self._session.seed, 3])
            count = 0
            for each in rehearsals(self._problem, self._mode, self._settings.pretrain, generator):
                self._learner.remember(each.trajectory, each.reward)
                count += 1
            self._learner.train(self._settings.updates * count * len(self._layout.steps) // _REUSE)
            # As long as rehearsals are drawn as well, they speak against what the trials say: the table is wrong.
            self._learner.forget()

    def _restore(self, state: AgentState) -> None:
        try:
            self._learner.restore(state.learner)
        except Exception as error:  # SB3 raises anything where parameters are not its own
            raise RunError(
                f"An agent's state must be one that `automl` wrote, but that of {state.learned} trials is not: "
                f"{error}. Delete {self._session.folder} to let a new agent learn from the trials so far."
            ) from error

    def _found(self, trials: Sequence[FrozenTrial]) -> AgentState | None:
        """The newest state whose trials the study holds."""
        histories, digest = {}, hashlib.sha256()
        for number, trial in enumerate(trials, 1):
            digest.update(_digest(trial))
            histories[number] = digest.hexdigest()
        return next((state for state in self._older if histories.get(state.learned) == state.history), None)

    def _keep(self) -> None:
        if self._session.folder is not None:
            history = self._history.hexdigest()
            state = AgentState(self._identity, self._learned, history, self._warmup, self._learner.state())
            write_state(self._session.folder, state)

    def _learn_from(self, trial: FrozenTrial) -> None:
        self._note(trial)
        if not self._settings.seeded and not self._proposed(trial):
            return
        lesson = lesson_of(trial, self._layout, self._mode, self._settings.reward)
        if lesson is None:
            return
        trajectory = followed(new_episode(self._layout, self._mode), self._observer, lesson.target)
        self._learner.remember(trajectory, lesson.reward)
        if self._learned >= self._warmup:
            self._learner.train_on_an_episode()
        self._session.log(self._curves(lesson.reward), self._learned)

    def _curves(self, reward: float) -> dict[str, float]:
        return {"reward": reward, "noise": self._noise(), **self._learner.losses}

    def _proposed(self, trial: FrozenTrial) -> bool:
        """Whether it is a proposal of this kind of agent."""
        return trial.user_attrs.get(ENGINE) == self._algorithm and not given(trial)

    def _note(self, trial: FrozenTrial) -> None:
        self._learned += 1
        self._history.update(_digest(trial))

    def _noise(self) -> float:
        """Standard deviation for the next trial."""
        after = max(self._learned - self._warmup, 0)
        return max(self._settings.noise * self._settings.decay**after, _LEAST_NOISE)

    def _played(self, generator: np.random.Generator, spread: float) -> Episode:
        warm, direct = self._learned < self._warmup, self._mode == "direct"

        def choose(seen: Observation) -> Action:
            if warm and direct:
                return generator.uniform(-1.0, 1.0, size).astype(np.float32)
            if warm:
                return truncated_normal(np.zeros(size, dtype=np.float32), spread, generator)
            if self._samples:
                return self._learner.act(seen, sampled=True)
            return truncated_normal(self._learner.act(seen, sampled=False), spread, generator)

        episode = new_episode(self._layout, self._mode)
        size = len(episode.last)
        played(episode, self._observer, choose)
        return episode


def _digest(trial: FrozenTrial) -> bytes:
    facts: Mapping[str, Any] = trial.user_attrs
    return f"{facts.get('digest')}\n".encode()
