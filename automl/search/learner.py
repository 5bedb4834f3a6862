"""An actor and a critic of Stable-Baselines3 that learn from whole episodes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import truncnorm
from stable_baselines3 import DDPG, SAC, TD3
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import update_learning_rate
from torch.optim import Optimizer

from automl.search.agent_settings import AgentSettings, Algorithm
from automl.search.randomness import own_randomness
from envs.compression import CompressionEnv
from envs.episode import Action
from envs.observation import Observation
from envs.trajectory import Trajectory

_LEAST_SPREAD = 1e-3
"""Of rewards, where they are scaled."""


class _TwoRates(DDPG):
    """SB3 has one learning rate for both networks, AMC two."""

    actor_rate: float

    def _update_learning_rate(self, optimizers: list[Optimizer] | Optimizer) -> None:
        super()._update_learning_rate(optimizers)
        update_learning_rate(self.actor.optimizer, self.actor_rate)


class Learner:
    """Actor, critic and memory. The same episodes in the same order give the same weights, bit by bit."""

    def __init__(
        self, algorithm: Algorithm, settings: AgentSettings, env: CompressionEnv, steps: int, seed: int
    ) -> None:
        """New networks.

        Args:
            algorithm: Which of Stable-Baselines3.
            settings: Hyper-parameters.
            env: Says what observations and actions look like; it is never stepped.
            steps: Of an episode.
            seed: Of the first weights, and of every training round.
        """
        self._settings, self._steps, self._seed = settings, steps, seed
        with own_randomness(seed):
            self._model = _built(algorithm, settings, env, steps)
        self._model.set_logger(Logger(folder=None, output_formats=[]))
        self._rewards = np.zeros((_buffer(self._model).buffer_size, 1), dtype=np.float32)
        """As they were, in the order of the replay buffer, whose own are centred."""
        self.rounds = 0
        """Calls of `train` so far."""

    def remember(self, trajectory: Trajectory, reward: float) -> None:
        """Keeps an episode for training; the oldest one goes where there are too many."""
        told, ends = self._told(trajectory, reward)
        buffer = _buffer(self._model)
        seen = trajectory.observations
        for step, action in enumerate(trajectory.actions):
            self._rewards[buffer.pos] = told[step]
            here = slice(step, step + 1)
            buffer.add(seen[step][None], seen[step + 1][None], action[None], told[here], ends[here], [{}])

    def forget(self) -> None:
        """Empties the memory; what actor and critic have learned from it stays."""
        _buffer(self._model).reset()

    def train(self, gradient_steps: int) -> None:
        """Draws batches from all that is remembered."""
        buffer = _buffer(self._model)
        size = buffer.size()
        kept = self._rewards[:size]
        spread = max(float(kept.std()), _LEAST_SPREAD) if self._settings.scaled else 1.0
        buffer.rewards[:size] = (kept - kept.mean()) / spread
        if self._settings.actions == "residual":
            buffer.rewards[:size] -= self._settings.prior * (buffer.actions[:size] ** 2).sum(axis=2)
        with own_randomness(_round_seed(self._seed, self.rounds)):
            self._model.train(gradient_steps, self._settings.batch)
        self.rounds += 1

    def train_on_an_episode(self) -> None:
        """As many gradient steps as the settings say for each step of an episode."""
        self.train(self._settings.updates * self._steps)

    @property
    def losses(self) -> dict[str, float]:
        """What the newest training round said, such as `actor_loss` and `critic_loss`; nothing before the first one."""
        told = self._model.logger.name_to_value
        return {name.removeprefix("train/"): float(value) for name, value in told.items() if name.endswith("loss")}

    def act(self, seen: Observation, *, sampled: bool) -> Action:
        """What the actor would do; drawn from its distribution where it has one and `sampled` says so."""
        found, _ = self._model.predict(seen, deterministic=not sampled)
        return np.asarray(found, dtype=np.float32)

    def state(self) -> dict[str, Any]:
        """All that training goes on from, as tensors and plain values."""
        buffer = _buffer(self._model)
        size = buffer.size()
        arrays = {name: getattr(buffer, name)[:size] for name in _ARRAYS} | {"told": self._rewards[:size]}
        variables = {name: getattr(self._model, name).detach().clone() for name in _variables(self._model)}
        return {
            "parameters": self._model.get_parameters(),
            "variables": variables,
            "updates": int(self._model._n_updates),
            "rounds": self.rounds,
            "memory": {name: torch.from_numpy(values.copy()) for name, values in arrays.items()},
            "place": int(buffer.pos),
            "full": bool(buffer.full),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` gave."""
        model, buffer = self._model, _buffer(self._model)
        model.set_parameters(dict(state["parameters"]), exact_match=True, device="cpu")
        for name in _variables(model):
            getattr(model, name).data.copy_(state["variables"][name])
        model._n_updates, self.rounds = int(state["updates"]), int(state["rounds"])
        for name in _ARRAYS:
            kept = state["memory"][name].numpy()
            getattr(buffer, name)[: len(kept)] = kept
        self._rewards[: len(state["memory"]["told"])] = state["memory"]["told"].numpy()
        buffer.pos, buffer.full = int(state["place"]), bool(state["full"])

    def _told(self, trajectory: Trajectory, reward: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """For each step what it is told it was worth, and whether nothing comes behind it."""
        steps = len(trajectory.actions)
        ends = np.zeros(steps, dtype=np.float32)
        if self._settings.credit == "copied":
            ends[-1] = 1.0
            return np.full(steps, reward, dtype=np.float32), ends
        shaped = trajectory.rewards(reward, shaped=self._settings.actions == "direct")
        return np.cumsum(shaped[::-1])[::-1].astype(np.float32), ends + 1.0


_ARRAYS = ("observations", "next_observations", "actions", "dones")


def truncated_normal(mean: Action, spread: float, generator: np.random.Generator) -> Action:
    """Drawn around `mean` and within [-1, 1], as AMC draws within [0, 1]."""
    drawn = truncnorm.rvs((-1.0 - mean) / spread, (1.0 - mean) / spread, mean, spread, random_state=generator)
    return np.asarray(drawn, dtype=np.float32).reshape(mean.shape)


def _built(algorithm: Algorithm, settings: AgentSettings, env: CompressionEnv, steps: int) -> DDPG | TD3 | SAC:
    kind: dict[Algorithm, type[DDPG] | type[TD3] | type[SAC]] = {"ddpg": _TwoRates, "td3": TD3, "sac": SAC}
    model = kind[algorithm](
        "MlpPolicy",
        env,
        learning_rate=settings.critic_rate,
        buffer_size=settings.memory * steps,
        batch_size=settings.batch,
        tau=settings.tau,
        gamma=1.0,
        policy_kwargs={"net_arch": [settings.hidden, settings.hidden]},
        device="cpu",
    )
    if isinstance(model, _TwoRates):
        model.actor_rate = settings.actor_rate
    return model


def _buffer(model: DDPG | TD3 | SAC) -> ReplayBuffer:
    if model.replay_buffer is None:
        raise RuntimeError("SB3 makes the replay buffer with the model")
    return model.replay_buffer


def _variables(model: DDPG | TD3 | SAC) -> tuple[str, ...]:
    """What SB3 keeps beside state dicts."""
    return ("log_ent_coef",) if isinstance(model, SAC) else ()


def _round_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, 1, number]).generate_state(1)[0])
