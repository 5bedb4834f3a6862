"""Every search engine by name."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler

from automl.core.errors import InputError
from automl.core.problem import Problem
from automl.search.agent_settings import AgentSettings, Algorithm, parse_settings
from automl.search.cma import cma_draw
from automl.search.engine import Engine, Session
from automl.search.evolution import evolved
from automl.search.multipliers import MultiplierEngine, Proposal, ProposalSampler
from automl.search.refit import refitted
from automl.search.reseeding import ReseedingSampler
from automl.search.sampler import SamplerEngine


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """One line of `automl engines`."""

    description: str
    build: Callable[[], Engine]


def _uniform() -> Engine:
    return SamplerEngine("uniform", _random_sampler, most_trials=1)


def _random() -> Engine:
    return SamplerEngine("random", _random_sampler)


def _random_sampler(_: Problem, session: Session) -> BaseSampler:
    return ReseedingSampler(lambda seed: RandomSampler(seed=seed), session.own_seed)


def _proposing(name: str, proposal: Proposal) -> Engine:
    return MultiplierEngine(name, lambda problem, session: ProposalSampler(problem, session.own_seed, proposal))


def _solver() -> Engine:
    return _proposing("solver", refitted)


def _evolution() -> Engine:
    return _proposing("evolution", evolved)


def _tpe() -> Engine:
    def build(seed: int) -> BaseSampler:
        return TPESampler(seed=seed, n_startup_trials=10, multivariate=True)

    return MultiplierEngine("tpe", lambda _, session: ReseedingSampler(build, session.own_seed))


def _gp() -> Engine:
    # Evaluations have no noise, but rounded widths make steps, which `deterministic_objective=True` would not expect.
    def build(seed: int) -> BaseSampler:
        return GPSampler(seed=seed)

    return MultiplierEngine("gp", lambda _, session: ReseedingSampler(build, session.own_seed))


def _cma() -> Engine:
    return _proposing("cma", cma_draw)


ENGINES: dict[str, EngineEntry] = {
    "auto": EngineEntry("chooses for you: solver, which the benchmark found ahead at 20 to 200 trials", _solver),
    "solver": EngineEntry("exact solver on a table of losses, refitted to each trial", _solver),
    "cma": EngineEntry("CMA-ES around the solver's answer", _cma),
    "tpe": EngineEntry("tree-structured Parzen estimator around the solver's answer (Optuna)", _tpe),
    "gp": EngineEntry("Gaussian process around the solver's answer (Optuna): up to seconds per proposal", _gp),
    "evolution": EngineEntry("changes a few of the solver's multipliers at a time", _evolution),
    "random": EngineEntry("random keep ratios, scaled to the budget", _random),
    "uniform": EngineEntry("narrows every layer by one factor: a single trial, the baseline of all others", _uniform),
}
AGENTS: dict[Algorithm, str] = {
    "ddpg": "AMC's agent: DDPG proposes keep ratios, always within the budget",
    "td3": "TD3 corrects the solver; it is pretrained on the table",
    "sac": "SAC corrects the solver; it is pretrained on the table",
}
"""Engines that learn by reinforcement, and what they are; they take settings."""


def find_engine(name: str, agent: str | None = None) -> Engine:
    """The engine called `name`.

    Args:
        name: As `automl engines` lists it.
        agent: Settings of an agent, such as `noise=0.2`.

    Raises:
        InputError: If there is none (the nearest names are offered), or settings are wrong or not for this engine.
    """
    for algorithm in AGENTS:
        if name == algorithm:
            return _agent(algorithm, parse_settings(algorithm, agent))
    if name in ENGINES:
        if agent is not None:
            raise InputError(f"`--agent` is for the engines {', '.join(AGENTS)}, but the engine is {name!r}.")
        return ENGINES[name].build()
    there = [*ENGINES, *AGENTS]
    near = difflib.get_close_matches(name, there)
    way_out = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(there)}."
    raise InputError(f"An engine must be one that `automl engines` lists, but {name!r} is not. {way_out}")


def _agent(algorithm: Algorithm, settings: AgentSettings) -> Engine:
    def build(problem: Problem, session: Session) -> BaseSampler:
        from automl.search.agent_sampler import AgentSampler  # SB3 takes seconds

        return AgentSampler(problem, algorithm, settings, session)

    if settings.actions == "residual":
        return MultiplierEngine(algorithm, build, solved_first=settings.seeded)
    return SamplerEngine(algorithm, build, least_ratio=0.0, solved_first=settings.seeded)
