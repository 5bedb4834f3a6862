"""How an agent learns: its hyper-parameters, and how the user writes them."""

import difflib
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from automl.core.errors import InputError
from automl.core.limits import MOST_OF_AN_AGENT
from envs.mode import find_mode
from envs.reward import find_reward

Algorithm = Literal["ddpg", "td3", "sac"]
_CREDITS = ("copied", "return")


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Hyper-parameters; the command line overrides them as `--agent reward=kl,noise=0.2`."""

    actions: str
    """`residual` or `direct`; see `envs.compression.CompressionEnv`."""
    reward: str
    """A name of `envs.reward.REWARDS`."""
    credit: str
    """What a step is told: `copied`, the episode's reward and the value of the next step (AMC); or `return`, what the
    episode came to from there, without a detour over the critic's own estimates."""
    scaled: bool
    """Whether rewards are divided by their standard deviation; their mean is taken off in any case."""
    prior: float
    """What a step pays for the square of its correction, on the scale of the rewards: corrections stay small until
    trials say that they need to be large. With 0 an actor may end up at the largest and learn no more. Values pay
    nothing."""
    warmup: int | None
    """Completed trials, whoever proposed them, up to which actions are random and nothing but the table is trained on;
    None for a quarter of the trials asked for, at most AMC's 100."""
    noise: float
    """Standard deviation of the truncated normal noise on an action after the warm-up."""
    decay: float
    """Factor on it per episode."""
    pretrain: int
    """Episodes on the sensitivity table, for each of three budgets, before the first one that is measured."""
    seeded: bool
    """Whether the solver's answer is the second trial, and whether trials that other engines proposed, or that are the
    same for each engine, are learned from."""
    seeds: int
    """Agents, each of a seed of its own: they take turns, and each learns from all trials."""
    updates: int
    """Gradient steps per step of an episode."""
    hidden: int
    """Width of the two hidden layers of actor and critic."""
    actor_rate: float
    """Learning rate."""
    critic_rate: float
    """Learning rate; `td3` and `sac` have one for both."""
    tau: float
    """How far the target networks move with each gradient step."""
    batch: int
    """Transitions per gradient step."""
    memory: int
    """Episodes that are remembered."""

    def __post_init__(self) -> None:
        find_mode(self.actions)
        find_reward(self.reward)
        if self.credit not in _CREDITS:
            raise InputError(f"`credit` of an agent is {' or '.join(_CREDITS)}, but got {self.credit!r}.")
        if self.pretrain and self.reward != "kl":
            raise InputError(
                f"The sensitivity table predicts divergences, so that an agent can pretrain on the reward 'kl' only, "
                f"but got {self.reward!r}. Add `pretrain=0`."
            )
        self._check_numbers()

    def _check_numbers(self) -> None:
        least: dict[str, float] = {
            "seeds": 1,
            "updates": 1,
            "hidden": 1,
            "batch": 1,
            "memory": 1,
            "warmup": 0,
            "pretrain": 0,
        }
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= MOST_OF_AN_AGENT:
                raise InputError(
                    f"`{name}` of an agent must be at least {low} and at most {MOST_OF_AN_AGENT:,}, but got {value}."
                )
        for name in ("actor_rate", "critic_rate", "tau", "decay"):
            value = getattr(self, name)
            if not 0.0 < value <= 1.0:
                raise InputError(f"`{name}` of an agent must be above 0 and at most 1, but got {value:g}.")
        if not 0.0 <= self.prior <= 100.0:
            raise InputError(f"`prior` of an agent must be at least 0 and at most 100, but got {self.prior:g}.")
        if not 0.0 < self.noise <= 10.0:
            raise InputError(f"`noise` of an agent must be above 0 and at most 10, but got {self.noise:g}.")


_AMC = AgentSettings(
    actions="direct",
    reward="accuracy",
    credit="copied",
    scaled=False,
    prior=0.0,
    warmup=None,
    noise=1.0,  # 0.5 on AMC's scale from 0 to 1
    decay=0.95,
    pretrain=0,
    seeded=False,
    seeds=1,
    updates=1,
    hidden=300,
    actor_rate=1e-4,
    critic_rate=1e-3,
    tau=0.01,
    batch=64,
    memory=100,
)
"""He et al. 2018 and the released code."""
_OURS = AgentSettings(
    actions="residual",
    reward="kl",
    credit="return",
    scaled=True,
    prior=1.0,
    warmup=None,
    noise=0.2,
    decay=0.98,
    pretrain=32,
    seeded=True,
    seeds=1,
    updates=2,
    hidden=128,
    actor_rate=1e-3,
    critic_rate=1e-3,
    tau=0.02,
    batch=128,
    memory=1000,
)
DEFAULTS: dict[Algorithm, AgentSettings] = {"ddpg": _AMC, "td3": _OURS, "sac": _OURS}


def parse_settings(algorithm: Algorithm, text: str | None) -> AgentSettings:
    """The algorithm's own settings, overridden by `text` such as `reward=kl,noise=0.2`.

    Raises:
        InputError: If a setting is unknown or breaks its rule.
    """
    defaults = DEFAULTS[algorithm]
    given: dict[str, Any] = {}
    for part in (text or "").split(","):
        if part.strip():
            name, value = _read(part.strip())
            given[name] = value
    return replace(defaults, **given)


def _read(part: str) -> tuple[str, Any]:
    name, equals, value = (each.strip() for each in part.partition("="))
    types = {field.name: field.type for field in fields(AgentSettings)}
    if name not in types:
        near = difflib.get_close_matches(name, types)
        way_out = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(types)}."
        raise InputError(f"`--agent` takes settings such as `noise=0.2`, but {name!r} is none. {way_out}")
    if not equals or not value:
        raise InputError(f"`--agent` takes settings such as `noise=0.2`, but {part!r} has no value.")
    return name, _typed(name, types[name], value)


def _typed(name: str, wanted: Any, value: str) -> Any:
    if wanted is str:
        return value
    if wanted is bool:
        if value not in ("true", "false"):
            raise InputError(f"`{name}` of an agent is true or false, but got {value!r}.")
        return value == "true"
    try:
        return float(value) if wanted is float else int(value)
    except ValueError as error:
        kind = "a number" if wanted is float else "a whole number"
        raise InputError(f"`{name}` of an agent must be {kind}, but got {value!r}.") from error
