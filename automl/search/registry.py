"""Every search engine by name."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from optuna.samplers import GPSampler, RandomSampler, TPESampler

from automl.core.errors import InputError
from automl.search.cma import cma_draw
from automl.search.engine import Engine
from automl.search.evolution import evolved
from automl.search.multipliers import MultiplierEngine, Proposal, ProposalSampler
from automl.search.refit import refitted
from automl.search.sampler import SamplerEngine


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """One line of `automl engines`."""

    description: str
    build: Callable[[], Engine]


def _uniform() -> Engine:
    return SamplerEngine("uniform", lambda seed: RandomSampler(seed=seed), most_trials=1)


def _random() -> Engine:
    return SamplerEngine("random", lambda seed: RandomSampler(seed=seed))


def _proposing(name: str, proposal: Proposal) -> Engine:
    return MultiplierEngine(name, lambda problem, seed: ProposalSampler(problem, seed, proposal))


def _solver() -> Engine:
    return _proposing("solver", refitted)


def _evolution() -> Engine:
    return _proposing("evolution", evolved)


def _tpe() -> Engine:
    return MultiplierEngine("tpe", lambda _, seed: TPESampler(seed=seed, n_startup_trials=10, multivariate=True))


def _gp() -> Engine:
    # Evaluations have no noise, but rounded widths make steps, which `deterministic_objective=True` would not expect.
    return MultiplierEngine("gp", lambda _, seed: GPSampler(seed=seed))


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
COMING = ("ddpg", "td3", "sac")
"""Engines of later versions."""


def find_engine(name: str) -> Engine:
    """The engine called `name`.

    Raises:
        InputError: If there is none; the nearest names are offered.
    """
    if name in ENGINES:
        return ENGINES[name].build()
    there = ", ".join(ENGINES)
    if name in COMING:
        raise InputError(
            f"An engine must be in this version, but {name!r} is coming in a later one. Use one of: {there}."
        )
    near = difflib.get_close_matches(name, ENGINES)
    way_out = f"Did you mean {' or '.join(near)}?" if near else f"There are: {there}."
    raise InputError(f"An engine must be one that `automl engines` lists, but {name!r} is not. {way_out}")
