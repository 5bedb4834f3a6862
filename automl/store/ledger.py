"""The trials of a study as its workers write them: each begun in one transaction, and ended in another.

A sampler at work on the database itself writes every parameter on its own, and leaves a nameless trial behind when it
is killed while it thinks. Here a trial is written once it is known, with its policy and the worker that evaluates it;
what a lost worker had begun goes back to the queue as the same trial, with the same parameters.
"""

import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from automl.store.bulk import create_trial_in, end_trial_in
from automl.store.patience import Patience
from automl.store.trials import DIGEST, ENGINE, EVALUATION, FAILURE, GIVEN, LEVEL, POLICY, Source, plain

WORKER = "worker"
"""User attribute of a trial: the name of the worker that evaluates it."""
LOST = "lost"
"""User attribute of a trial: how many workers were lost while they evaluated it."""
MOST_LOST = 3
"""A policy that ends so many processes, as one that needs more memory than there is, is not tried again."""
_TOKEN = "token"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a trial is to evaluate."""

    policy: CompressionPolicy
    params: Mapping[str, float]
    """The parameters that the policy was made of."""
    distributions: Mapping[str, BaseDistribution]
    """Of each parameter."""
    engine: str
    """Name of the engine that proposes it."""
    given: bool = False
    """Whether the parameters were given, not sampled; the policy is then only near what they say."""
    level: int = 0
    """Which of several budgets it is held to, from 0 for the tightest."""


class Ledger:
    """One worker's hold on the trials of a study."""

    def __init__(self, study: optuna.Study, worker: str, patience: Patience) -> None:
        """For the worker of that name; it has one trial at a time."""
        # A study offers no way to learn the number of a trial that is added while it runs; its storage does.
        self._storage, self._study_id = study._storage, study._study_id
        self._worker = worker
        self._patience = patience
        self._known: list[FrozenTrial] | None = None
        self._suspected_s: dict[int, float] = {}
        """Number of a trial that looks lost -> since when, by this process's clock."""

    def trials(self, *, alone: bool = False) -> Sequence[FrozenTrial]:
        """All trials in the order of their numbers; not to be changed.

        Args:
            alone: Whether nobody else writes to the study. What this ledger wrote need not be read then.
        """
        if self._known is None or not alone:
            read = self._patience(lambda: self._storage.get_all_trials(self._study_id, deepcopy=False))
            self._known = list(read)
        return self._known

    def queue(self, proposal: Proposal) -> None:
        """Adds a trial that any worker may claim."""
        self._create(proposal, TrialState.WAITING, {})

    def begin(self, proposal: Proposal) -> int:
        """Adds a trial that this worker evaluates, and returns its number."""
        return self._create(proposal, TrialState.RUNNING, {WORKER: self._worker})

    def claim(self, trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
        """Takes the first of these trials that waits, and is this worker's from then on; None where there is none."""
        for trial in trials:
            if trial.state is TrialState.WAITING and self._patience(partial(self._claimed, trial.number)):
                self._known = None
                return trial
        return None

    def complete(self, number: int, evaluation: Evaluation, source: Source) -> bool:
        """Ends a trial with what it was found to be worth; False where it had ended meanwhile."""
        facts = {EVALUATION: plain(evaluation, source)}
        return self._end(number, facts, TrialState.COMPLETE, float(evaluation.divergence))

    def fail(self, number: int, reason: str) -> bool:
        """Ends a trial with the reason why it has no result; False where it had ended meanwhile."""
        return self._end(number, {FAILURE: reason}, TrialState.FAIL)

    def withdraw(self, number: int) -> bool:
        """Ends a trial whose policy another worker evaluates: it counts neither as completed nor as failed."""
        return self._end(number, {}, TrialState.PRUNED)

    def reclaim(self, trials: Sequence[FrozenTrial], lost: Collection[str], *, after_s: float = 0.0) -> int:
        """Puts trials back into the queue that nobody works on any more, and returns how many there were.

        These are the ones of the lost workers, and those that bear this worker's name between two of its trials: what
        it began when the connection was lost.

        Args:
            trials: As `trials` returned them.
            lost: Names of workers that do not live.
            after_s: Seconds for which a trial must have looked lost: between taking a trial and putting one's name to
                it, it bears no name, or that of the worker that was lost.
        """
        running = [trial for trial in trials if trial.state is TrialState.RUNNING]
        numbers = {trial.number for trial in running}
        self._suspected_s = {number: s for number, s in self._suspected_s.items() if number in numbers}
        left = [trial for trial in running if self._mine(trial) or self._looks_lost(trial, lost, after_s)]
        for trial in left:
            self._patience(partial(self._reclaimed, trial))
        if left:
            self._known = None
        return len(left)

    def _create(self, proposal: Proposal, state: TrialState, facts: Mapping[str, Any]) -> int:
        token = uuid.uuid4().hex
        template = create_trial(
            state=state,
            params=dict(proposal.params),
            distributions=dict(proposal.distributions),
            user_attrs={
                POLICY: proposal.policy.to_json(),
                DIGEST: proposal.policy.digest(),
                ENGINE: proposal.engine,
                GIVEN: proposal.given,
                **({LEVEL: proposal.level} if proposal.level else {}),
                _TOKEN: token,
                **facts,
            },
        )
        made = self._patience(partial(self._created, template, token))
        if self._known is not None and len(self._known) == made.number:
            self._known.append(made)
        else:
            self._known = None
        return made.number

    def _created(self, template: FrozenTrial, token: str) -> FrozenTrial:
        if self._patience.tried:  # the connection may have been lost behind the commit
            for trial in self._storage.get_all_trials(self._study_id, deepcopy=False):
                if trial.user_attrs.get(_TOKEN) == token:
                    return trial
        return create_trial_in(self._storage, self._study_id, template)

    def _claimed(self, number: int) -> bool:
        trial_id = self._id(number)
        try:
            if not self._storage.set_trial_state_values(trial_id, TrialState.RUNNING):
                return False
            self._storage.set_trial_user_attr(trial_id, WORKER, self._worker)
        except UpdateFinishedTrialError:
            return False
        return True

    def _end(self, number: int, facts: Mapping[str, Any], state: TrialState, value: float | None = None) -> bool:
        ended = self._patience(partial(self._ended, number, facts, state, value))
        if not ended:
            self._known = None
        elif self._known is not None:
            self._known[number] = _ended_copy(self._known[number], facts, state, value)
        return ended

    def _ended(self, number: int, facts: Mapping[str, Any], state: TrialState, value: float | None) -> bool:
        trial_id = self._id(number)
        try:
            end_trial_in(self._storage, trial_id, state, value, facts)
        except UpdateFinishedTrialError:
            found = self._storage.get_trial(trial_id)
            return bool(self._patience.tried) and found.user_attrs.get(WORKER) == self._worker and found.state is state
        return True

    def _mine(self, trial: FrozenTrial) -> bool:
        return bool(trial.user_attrs.get(WORKER) == self._worker)

    def _looks_lost(self, trial: FrozenTrial, lost: Collection[str], after_s: float) -> bool:
        name = trial.user_attrs.get(WORKER)
        if name is not None and name not in lost:
            self._suspected_s.pop(trial.number, None)
            return False
        now_s = time.monotonic()
        return now_s - self._suspected_s.setdefault(trial.number, now_s) >= after_s

    def _reclaimed(self, trial: FrozenTrial) -> None:
        facts, trial_id = trial.user_attrs, self._id(trial.number)
        times = facts.get(LOST, 0) + 1
        try:
            if POLICY not in facts:
                self._give_up(trial_id, "The process was killed before it had proposed a policy.")
            elif times >= MOST_LOST:
                self._give_up(trial_id, f"The process was killed {times} times while it evaluated this policy.")
            else:
                self._storage.set_trial_user_attr(trial_id, LOST, times)
                self._storage.set_trial_state_values(trial_id, TrialState.WAITING)
        except UpdateFinishedTrialError:
            return  # another worker was first

    def _give_up(self, trial_id: int, reason: str) -> None:
        end_trial_in(self._storage, trial_id, TrialState.FAIL, None, {FAILURE: reason})

    def _id(self, number: int) -> int:
        if self._known is not None and number < len(self._known):
            return int(self._known[number]._trial_id)
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)


def completed_by(study: optuna.Study, worker: str) -> int:
    """How many trials the worker of that name has completed; those that failed or were withdrawn do not count."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sum(trial.user_attrs.get(WORKER) == worker for trial in done)


def _ended_copy(trial: FrozenTrial, facts: Mapping[str, Any], state: TrialState, value: float | None) -> FrozenTrial:
    ended = copy(trial)
    ended.state, ended.value = state, value
    ended.user_attrs = {**trial.user_attrs, **facts}
    return ended
