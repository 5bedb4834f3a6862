"""The search phase: from a trained baseline to the policy that goes on to fine-tuning."""

import time
from dataclasses import dataclass

import optuna
from optuna.trial import TrialState

from automl.compress.importance import scores
from automl.compress.reconstruction import Recovery
from automl.core.errors import InterruptedRunError
from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from automl.core.problem import Problem
from automl.data.dataset import ImageDataset
from automl.evaluate.evaluator import DenseNetwork, ModelEvaluator
from automl.evaluate.held import Batches, held_batches
from automl.evaluate.measure import answers, compare
from automl.pipeline.conversation import Conversation
from automl.pipeline.subject import Subject
from automl.report.quantity import percent
from automl.search.engine import TrialReport
from automl.search.registry import find_engine
from automl.search.runner import search
from automl.search.sampler import uniform_policy
from automl.store.run import Run
from automl.store.study import open_study
from automl.store.trials import completed, evaluated, write_trials_csv

_BATCH = 64
_PROMOTED = 4
"""Policies that are measured again on the selection split, because the best of many trials is partly luck."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the search came to."""

    best: CompressionPolicy
    """Lowest divergence on the selection split among the best of the search split."""
    uniform: CompressionPolicy
    evaluations: tuple[Evaluation, ...]
    """One per completed trial, in order."""
    evaluated: int
    """Policies measured; the other trials found theirs in the cache."""
    seconds: float
    """Wall time of all trials, earlier sessions included."""


def dense_network(subject: Subject) -> DenseNetwork:
    """The trained network with its importance scores and calibration images."""
    calibration = held(subject, subject.splits.calibration)
    model, traced, device = subject.model.eval(), subject.traced, subject.device
    config = subject.config
    images = (batch.to(device) for batch, _ in calibration)
    channel_scores = scores(model, traced, config.importance, images=images, seed=config.seed)
    recovery = Recovery(model, traced, channel_scores, (batch.to(device) for batch, _ in calibration))
    return DenseNetwork(model, traced, channel_scores, recovery, calibration, device)


def held(subject: Subject, dataset: ImageDataset) -> Batches:
    """Batches of one split, in memory where they fit."""
    channels, height, width = subject.splits.input_shape
    return held_batches(dataset, len(dataset), channels * height * width, _BATCH, subject.device)


def run_search(run: Run, subject: Subject, dense: DenseNetwork, conversation: Conversation) -> Found:
    """Completes the asked number of trials in the run's study and picks the policy to go on with.

    Raises:
        InterruptedRunError: If the user stopped; completed trials are in the study.
        SearchError: If trials keep failing.
    """
    evaluator = ModelEvaluator(dense, subject.cost_model, held(subject, subject.splits.search))
    problem = Problem(
        graph=subject.traced.graph,
        knobs=subject.space.knobs,
        cost_model=subject.cost_model,
        dense=subject.dense_cost,
        budget=subject.budget,
        projection=subject.projection,
        evaluate=evaluator,
    )
    with open_study(run.study_db) as study:
        _run_trials(run, subject, problem, study, conversation)
        found = completed(study)
        best = _promoted(subject, dense, found)
        return Found(best, uniform_policy(problem), tuple(found), evaluated(study), _trial_seconds(study))


def _run_trials(run: Run, subject: Subject, problem: Problem, study: optuna.Study, conversation: Conversation) -> None:
    config = subject.config
    groups = [knob.target for knob in problem.knobs]
    engine = find_engine(config.engine)
    asked = config.trials if engine.most_trials is None else min(config.trials, engine.most_trials)

    def show(report: TrialReport) -> None:
        write_trials_csv(run.trials_csv, study, groups)
        best = report.best
        conversation.progress.advance(
            f"KL {report.evaluation.divergence:.3f}, best {best.divergence:.3f}, not tuned {percent(best.accuracy)}"
        )

    conversation.progress.phase("Search", asked, len(completed(study)))
    deadline = None if config.time_s is None else time.monotonic() + config.time_s
    search(
        problem,
        study,
        engine,
        trials=config.trials,
        seed=config.seed,
        deadline=deadline,
        stop=conversation.stop,
        on_trial=show,
    )
    write_trials_csv(run.trials_csv, study, groups)
    if conversation.stop():
        raise InterruptedRunError(f"The search was stopped after {len(completed(study))} of {asked} trials.")


def _promoted(subject: Subject, dense: DenseNetwork, found: list[Evaluation]) -> CompressionPolicy:
    """Measures the best few again on images that the search has not seen."""
    ranked = {each.policy.digest(): each.policy for each in sorted(found, key=lambda each: each.divergence)}
    candidates = list(ranked.values())[:_PROMOTED]
    selection = held(subject, subject.splits.selection)
    reference = answers(dense.model, selection, dense.device)
    measured = [compare(answers(dense.slimmed(policy), selection, dense.device), reference) for policy in candidates]
    best = min(range(len(candidates)), key=lambda index: measured[index].divergence)
    return candidates[best]


def _trial_seconds(study: optuna.Study) -> float:
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
    return sum(trial.duration.total_seconds() for trial in trials if trial.duration is not None)
