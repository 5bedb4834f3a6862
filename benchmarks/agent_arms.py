"""What `benchmarks.agent` compares: AMC's agent as released and repaired, ours, and engines that do not learn so."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from automl.core.errors import InputError
from automl.search.agent_settings import AgentSettings, Algorithm, parse_settings
from automl.search.engine import Engine
from automl.search.registry import find_engine
from benchmarks.amc_released import WARMUP, AmcReleased

RELEASED = "AMC as released"
REPAIRED = "AMC repaired"
SCRATCH = " from scratch"
"""How the names end of agents with `pretrain=0,seeded=false`."""
AGENTS: tuple[Algorithm, ...] = ("td3", "sac", "ddpg")
OURS = (*AGENTS, *(name + SCRATCH for name in AGENTS))
SOLVERS = ("solver", "cma")
"""What reinforcement learning must not lose to."""
_DDPG = (
    "actions=residual,reward=kl,credit=return,scaled=true,prior=1,pretrain=32,seeded=true,noise=0.2,decay=0.98,updates=2,"
    "hidden=128,actor_rate=0.001,memory=1000,batch=128"
)
"""The settings that `td3` and `sac` have by default."""
_QUICK = (RELEASED, REPAIRED, "td3", "solver")
_QUICK_WARMUP = 3


@dataclass(frozen=True, slots=True)
class Arm:
    """One engine with its settings."""

    name: str
    """As `--arms` takes it."""
    engine: str
    """As `automl engines` lists it; or `RELEASED`."""
    text: str | None = None
    """Settings of an agent, as `--agent` takes them; None for an engine that has none."""

    def build(self) -> Engine:
        """A fresh engine."""
        if self.engine == RELEASED:
            return AmcReleased(parse_settings("ddpg", self.text))
        return find_engine(self.engine, self.text)

    @property
    def knows_the_table(self) -> bool:
        """Whether it looks at the sensitivity table, whose seconds count then."""
        return self.engine not in (RELEASED, "random")

    def facts(self) -> Mapping[str, Any]:
        """What its result depends on, as JSON values; every setting, so that other defaults make another arm."""
        settings = self._settings()
        resolved = None if settings is None else asdict(settings)
        return {"arm": self.name, "engine": self.engine, "settings": resolved}

    def _settings(self) -> AgentSettings | None:
        known: dict[str, Algorithm] = {RELEASED: "ddpg", "ddpg": "ddpg", "td3": "td3", "sac": "sac"}
        return parse_settings(known[self.engine], self.text) if self.engine in known else None


def arms(quick: bool) -> tuple[Arm, ...]:
    """Every arm; a quick look has a short warm-up, so that AMC's agents come to learn in it."""
    warmup = f"warmup={_QUICK_WARMUP if quick else WARMUP}"
    texts: dict[Algorithm, str] = {"td3": "", "sac": "", "ddpg": _DDPG}
    return (
        Arm(RELEASED, RELEASED, warmup),
        Arm(REPAIRED, "ddpg", warmup),
        *(Arm(name, name, texts[name]) for name in AGENTS),
        *(Arm(name + SCRATCH, name, f"{texts[name]},pretrain=0,seeded=false") for name in AGENTS),
        *(Arm(name, name) for name in (*SOLVERS, "tpe", "random")),
    )


def find_arms(names: str | None, quick: bool) -> tuple[Arm, ...]:
    """The arms of these names, joined by commas; None stands for all, or for a few in a quick look.

    Raises:
        InputError: If one is unknown.
    """
    known = {arm.name: arm for arm in arms(quick)}
    wanted = [*(_QUICK if quick else known)] if names is None else [name.strip() for name in names.split(",")]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise InputError(f"An arm must be one of {', '.join(known)}, but got {unknown[0]!r}. Correct `--arms`.")
    return tuple(known[name] for name in wanted)
