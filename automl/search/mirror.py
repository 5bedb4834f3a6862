"""A copy of the study in memory, for samplers to read and to write: they do both for each parameter of each trial."""

from collections.abc import Sequence

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial


class Mirror:
    """Follows the trials of a study; its own numbers differ from theirs once several workers propose trials."""

    def __init__(self, sampler: BaseSampler) -> None:
        """An empty copy, in which `sampler` answers."""
        self._storage = InMemoryStorage()
        self.study = optuna.create_study(storage=self._storage, sampler=sampler, direction="minimize")
        self._study_id = self._storage.get_study_id_from_name(self.study.study_name)
        self._ids: dict[int, int] = {}
        self._open: set[int] = set()

    def follow(self, trials: Sequence[FrozenTrial]) -> None:
        """Takes in what is new.

        Args:
            trials: All of the study, in the order of their numbers.
        """
        for trial in trials:
            if trial.number not in self._ids:
                self._add(trial)
            elif trial.number in self._open and trial.state.is_finished():
                self._finish(trial)

    def ask(self) -> optuna.Trial:
        """A trial whose parameters the sampler chooses."""
        return self.study.ask()

    def is_trial(self, asked: optuna.Trial, number: int) -> None:
        """From now on what was asked stands for the study's trial of that number."""
        self._ids[number] = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, asked.number)
        self._open.add(number)

    def _add(self, trial: FrozenTrial) -> None:
        finished = trial.state.is_finished()
        self.study.add_trial(
            create_trial(
                state=_kind(trial.state) if finished else TrialState.RUNNING,
                value=trial.value if trial.state is TrialState.COMPLETE else None,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs=trial.user_attrs,
            )
        )
        number = self._storage.get_n_trials(self._study_id) - 1
        self._ids[trial.number] = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        if not finished:
            self._open.add(trial.number)

    def _finish(self, trial: FrozenTrial) -> None:
        trial_id = self._ids[trial.number]
        for name, fact in trial.user_attrs.items():
            self._storage.set_trial_user_attr(trial_id, name, fact)
        values = [trial.value] if trial.state is TrialState.COMPLETE and trial.value is not None else None
        self._storage.set_trial_state_values(trial_id, _kind(trial.state), values)
        self._open.remove(trial.number)


def _kind(state: TrialState) -> TrialState:
    """A withdrawn trial teaches nothing; Optuna's samplers would take a pruned one for a bad result."""
    return TrialState.FAIL if state is TrialState.PRUNED else state
