"""What the completed trials of a study come to, whoever evaluated them."""

from collections.abc import Iterator, Sequence

from optuna.trial import FrozenTrial, TrialState

from automl.core.evaluation import Evaluation
from automl.search.cache import EvaluationCache
from automl.search.engine import TrialReport
from automl.store.ledger import WORKER
from automl.store.trials import failures, level_of, recall, source_of


class Tally:
    """Counts completed trials, and knows the best of them."""

    def __init__(self, asked: int, worker: str, caches: Sequence[EvaluationCache]) -> None:
        """Of a search that ends with so many, as the worker of that name sees it; `caches` learn of each."""
        self._asked, self._worker, self._caches = asked, worker, caches
        self._counted: set[int] = set()
        self._failed: set[int] = set()
        self._best: dict[int, Evaluation] = {}

    @property
    def best(self) -> Evaluation | None:
        """The one with the lowest divergence at the tightest budget; of equal ones the first."""
        return self._best.get(0)

    @property
    def done(self) -> int:
        """Completed trials."""
        return len(self._counted)

    def news(self, trials: Sequence[FrozenTrial]) -> Iterator[TrialReport]:
        """A report for each trial that was completed since the last call."""
        for trial in trials:
            if trial.state is TrialState.COMPLETE and trial.number not in self._counted:
                yield self._report(trial)

    def failures(self, trials: Sequence[FrozenTrial]) -> Iterator[tuple[int, str]]:
        """(number, reason) of each trial that failed since the last call."""
        for trial in trials:
            if trial.state is TrialState.FAIL and trial.number not in self._failed:
                self._failed.add(trial.number)
                (reason,) = failures([trial])
                yield trial.number, reason

    def _report(self, trial: FrozenTrial) -> TrialReport:
        evaluation = recall(trial)
        for cache in self._caches:
            cache.learn(evaluation)
        self._counted.add(trial.number)
        level = level_of(trial)
        best = self._best.get(level)
        if best is None or evaluation.divergence < best.divergence:
            self._best[level] = best = evaluation
        ours = trial.user_attrs.get(WORKER) == self._worker
        from_cache = source_of(trial) == "cache"
        return TrialReport(trial.number, self.done, self._asked, evaluation, best, from_cache, ours, level)
