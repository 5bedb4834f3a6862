"""One network under one budget with one seed, on which engines are compared: the same evaluator, images and table."""

import time
from dataclasses import dataclass
from functools import cached_property

import optuna
from rich.console import Console

from automl.core.problem import Problem
from automl.core.sensitivity import SensitivityTable
from automl.evaluate.dense import DenseNetwork
from automl.evaluate.evaluator import ModelEvaluator
from automl.evaluate.held import Batches
from automl.pipeline.conversation import Conversation
from automl.pipeline.dense import dense_network
from automl.pipeline.held import held
from automl.pipeline.searching import pose
from automl.pipeline.sensitivity import measured_sensitivity
from automl.pipeline.subject import Subject
from automl.report.progress import Progress
from automl.search.engine import Engine, TrialReport
from automl.search.runner import search
from benchmarks.nets import Net, at_budget, open_net


@dataclass(frozen=True, slots=True)
class Timed:
    """One completed trial."""

    report: TrialReport
    seconds: float
    """Wall time from the start of the search to the end of this trial."""


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    subject: Subject
    dense: DenseNetwork
    table: SensitivityTable
    batches: Batches
    table_s: float


class Bench:
    """Opens the network, and measures its table, when the first engine asks."""

    def __init__(self, net: Net, budget: str, seed: int) -> None:
        """Opens nothing yet; a benchmark whose results are on disk needs no network."""
        self._net, self._budget, self._seed = net, budget, seed

    @property
    def table_s(self) -> float:
        """Seconds that the sensitivity table took, with the profile of the dense network."""
        return self._measured.table_s

    def problem(self) -> Problem:
        """The problem as every engine gets it, with an evaluator of its own."""
        measured = self._measured
        return pose(measured.subject, measured.table, self.evaluator())

    def evaluator(self) -> ModelEvaluator:
        """Measures policies on the search images; they race only against others that it measured."""
        measured = self._measured
        return ModelEvaluator(measured.dense, measured.subject.cost_model, measured.batches)

    @cached_property
    def _measured(self) -> _Measured:
        subject = _opened(self._net, self._budget, self._seed)
        started = time.perf_counter()
        dense = dense_network(subject)
        table = measured_sensitivity(subject, dense, Conversation.silent())
        table_s = time.perf_counter() - started
        return _Measured(subject, dense, table, list(held(subject, subject.splits.search)), table_s)


def searched(problem: Problem, engine: Engine, trials: int, seed: int) -> tuple[Timed, ...]:
    """Every completed trial of a search in memory, in order."""
    found: list[Timed] = []
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    started = time.perf_counter()
    search(
        problem,
        optuna.create_study(),
        engine,
        trials=trials,
        seed=seed,
        deadline=None,
        stop=lambda: False,
        on_trial=lambda report: found.append(Timed(report, time.perf_counter() - started)),
    )
    return tuple(found)


def _opened(net: Net, budget: str, seed: int) -> Subject:
    console = Console(stderr=True)
    with Progress(console) as progress:
        return at_budget(open_net(net, seed, Conversation(console, progress, lambda: False)), budget)
