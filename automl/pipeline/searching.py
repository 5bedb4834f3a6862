"""The search phase: from a trained baseline to evaluated policies."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import TrialState

from automl.core.budget_range import BudgetRange
from automl.core.errors import InterruptedRunError
from automl.core.evaluation import Evaluation, Evaluator
from automl.core.policy import CompressionPolicy, checked_policy
from automl.core.problem import Problem
from automl.core.sensitivity import SensitivityTable
from automl.evaluate.dense import DenseNetwork
from automl.evaluate.evaluator import ModelEvaluator
from automl.pipeline.best_so_far import BestSoFar
from automl.pipeline.boosting import boosted
from automl.pipeline.conversation import Conversation
from automl.pipeline.epochs import curves_of
from automl.pipeline.held import held
from automl.pipeline.publishing import publish_run, run_study, study_address
from automl.pipeline.sensitivity import rank_correlation, sensitivity_table
from automl.pipeline.subject import Subject, at_levels
from automl.report.front import FrontPoint, front
from automl.runtime.host_lock import computing
from automl.search.curves import curves
from automl.search.engine import TrialReport
from automl.search.registry import find_engine
from automl.search.runner import TRIAL_LIMIT_S, lowest_divergence, search, trials_of
from automl.search.sampler import uniform_policy
from automl.search.solver import Solver
from automl.store.ledger import completed_by
from automl.store.patience import Patience
from automl.store.run import Run
from automl.store.trials import completed, completed_trials, evaluated
from automl.store.trials_table import TrialsTable
from automl.store.workers import Crew, present

_PATIENCE_S = 300.0
"""A server that does not answer for so long will not soon."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the search came to."""

    uniform: CompressionPolicy
    solved: CompressionPolicy
    """The solver's plain answer."""
    evaluations: tuple[Evaluation, ...]
    """One per completed trial, in order; with a range of budgets those of the tightest."""
    table_correlation: float | None
    """Spearman's rank correlation of the sensitivity table's predictions with the measured divergences."""
    evaluated: int
    """Policies measured; the other trials found theirs in the cache."""
    seconds: float
    """Wall time of all trials, earlier sessions included."""
    looser: int = 0
    """With a range of budgets, completed trials that were held to looser ones than the tightest."""
    front: tuple[FrontPoint, ...] = ()
    """With a range of budgets, the trials that no other one beats."""


def pose(subject: Subject, table: SensitivityTable, evaluate: Evaluator) -> Problem:
    """The search problem of a subject: its space, costs and budget, with the solver over `table`."""
    knobs = subject.space.knobs
    solver = Solver(knobs, table, subject.cost_model, subject.budget, subject.dense_cost)
    return Problem(
        graph=subject.traced.graph,
        knobs=knobs,
        cost_model=subject.cost_model,
        dense=subject.dense_cost,
        budget=subject.budget,
        projection=subject.projection,
        sensitivity=table,
        decode=solver.solve,
        evaluate=evaluate,
    )


def run_search(run: Run, subject: Subject, dense: DenseNetwork, conversation: Conversation) -> Found:
    """Completes the asked number of trials in the run's study and picks the policy to go on with.

    Raises:
        InterruptedRunError: If the user stopped; completed trials are in the study.
        SearchError: If trials keep failing.
        StorageError: If the disk is full, or the database does not answer.
    """
    for note in dense.recovery.notes:
        conversation.say(note)
    table, levels = _posed(run, subject, dense, conversation)
    problem = levels[0].problem
    with run_study(run, subject.config) as study:
        if subject.config.storage is not None:
            publish_run(run, study_address(run, subject.config))
        with present(study, leads=True) as crew:
            _run_trials(run, subject, levels, study, crew, conversation)
        found = completed(study, level=0)
        correlation = rank_correlation(problem.knobs, table, found)
        if correlation is not None:
            conversation.say(f"Sensitivity table against measured divergences: rank correlation {correlation:.2f}.")
        return Found(
            uniform=uniform_policy(problem),
            solved=problem.solved([0.0] * len(problem.knobs)),
            evaluations=tuple(found),
            table_correlation=correlation,
            evaluated=evaluated(study),
            seconds=_trial_seconds(study),
            looser=len(completed(study)) - len(found),
            front=_front(subject, study),
        )


def help_search(
    run: Run, subject: Subject, dense: DenseNetwork, study: optuna.Study, conversation: Conversation
) -> int:
    """Evaluates policies of a study that another process leads, until it has as many as were asked for.

    Args:
        run: A worker's copy of what was published.
        subject: As the leading process has it.
        dense: Its trained network.
        study: Of the search.
        conversation: Shows the trials of all, and may stop this worker.

    Returns:
        How many trials this worker completed.

    Raises:
        InterruptedRunError: If the user stopped.
        SearchError: If trials keep failing.
        StorageError: If the database does not answer.
    """
    _, levels = _posed(run, subject, dense, conversation)
    with present(study, leads=False) as crew:
        _run_trials(run, subject, levels, study, crew, conversation)
    return completed_by(study, crew.name)


@dataclass(frozen=True, slots=True)
class _Level:
    problem: Problem
    evaluator: ModelEvaluator
    """Of this level alone: policies race against the best one of their own budget."""


def _posed(
    run: Run, subject: Subject, dense: DenseNetwork, conversation: Conversation
) -> tuple[SensitivityTable, list[_Level]]:
    table = sensitivity_table(run, subject, dense, conversation)
    evaluator = ModelEvaluator(dense, subject.cost_model, held(subject, subject.splits.search))
    tightest = _level(subject, table, evaluator)
    boost = boosted(run, subject, tightest.problem, conversation)
    if boost is not subject:
        tightest = _level(boost, table, evaluator)
    return table, [tightest, *(_level(each, table, evaluator.apart()) for each in at_levels(boost)[1:])]


def _level(subject: Subject, table: SensitivityTable, evaluator: ModelEvaluator) -> _Level:
    def evaluate(policy: CompressionPolicy) -> Evaluation:
        with computing():
            return evaluator(policy)

    return _Level(pose(subject, table, evaluate), evaluator)


def _front(subject: Subject, study: optuna.Study) -> tuple[FrontPoint, ...]:
    if subject.config.pareto is None:
        return ()
    metric = BudgetRange.parse(subject.config.pareto).metric
    return front(completed_trials(study.get_trials(deepcopy=False)), metric)


def _run_trials(
    run: Run,
    subject: Subject,
    levels: Sequence[_Level],
    study: optuna.Study,
    crew: Crew,
    conversation: Conversation,
) -> None:
    config = subject.config
    engine = find_engine(config.engine, config.agent)
    asked = trials_of(engine, config.trials, len(levels))
    tightest = levels[0].problem
    table = TrialsTable(run.trials_csv, study, tightest.knobs)
    for number, level in enumerate(levels):
        _defend_earlier(level, completed(study, number))
    best = BestSoFar(tightest, completed(study, 0), conversation.progress)

    def show(report: TrialReport) -> None:
        if report.best is report.evaluation and not report.ours:
            levels[report.level].evaluator.defend(report.best.policy)
        if crew.leads:
            table.update()
        best.show(report)

    conversation.progress.phase("Search", asked, len(completed(study)))
    deadline = None if config.time_s is None else time.monotonic() + config.time_s
    with curves(curves_of(run, config)) as log:
        search(
            tightest,
            study,
            engine,
            trials=config.trials,
            seed=config.seed,
            deadline=deadline,
            stop=conversation.stop,
            on_trial=show,
            on_failure=conversation.progress.failed,
            folder=run.state / "agent" if crew.leads else None,
            log=log,
            crew=crew,
            patience=Patience(0.0 if config.storage is None else _PATIENCE_S, conversation.stop),
            trial_limit_s=config.trial_time_s or TRIAL_LIMIT_S,
            looser=[level.problem for level in levels[1:]],
        )
    if crew.leads:
        table.write()
    if conversation.stop():
        raise InterruptedRunError(f"The search was stopped after {len(completed(study))} of {asked} trials.")


def _defend_earlier(level: _Level, earlier: Sequence[Evaluation]) -> None:
    for each in earlier:
        checked_policy(level.problem.graph, each.policy)  # that of another network breaks surgery
    if earlier:
        level.evaluator.defend(lowest_divergence(earlier).policy)


def _trial_seconds(study: optuna.Study) -> float:
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
    return sum(trial.duration.total_seconds() for trial in trials if trial.duration is not None)
