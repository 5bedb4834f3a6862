"""What is shown of a search, trial by trial."""

from collections.abc import Iterable

from automl.core.evaluation import Evaluation
from automl.core.problem import Problem
from automl.report.progress import Progress
from automl.report.quantity import percent
from automl.search.engine import TrialReport
from automl.search.sampler import uniform_policy


class BestSoFar:
    """The best policy under one budget beside the uniform one, as far as the search is."""

    def __init__(self, problem: Problem, earlier: Iterable[Evaluation], progress: Progress) -> None:
        """Shows what earlier sessions have found.

        Args:
            problem: With a range of budgets that of the tightest.
            earlier: Of its completed trials, in order.
            progress: Where to show it.
        """
        self._problem, self._progress = problem, progress
        self._digest = uniform_policy(problem).digest()
        self._best: Evaluation | None = None
        self._uniform: Evaluation | None = None
        for each in earlier:
            self._take(each)

    def show(self, report: TrialReport) -> None:
        """Shows what a trial came to; the best so far changes with those of this budget alone."""
        if report.level == 0:
            self._take(report.evaluation)
        best = report.best
        self._progress.advance(
            f"KL {report.evaluation.divergence:.3f}",
            known=f"best {best.divergence:.3f}, not tuned {percent(best.accuracy)}",
        )

    def _take(self, evaluation: Evaluation) -> None:
        if self._uniform is None and evaluation.policy.digest() == self._digest:
            self._uniform = evaluation
        if self._best is None or evaluation.divergence < self._best.divergence:
            self._best = evaluation
        used = self._problem.budget.used(self._best.cost, self._problem.dense)
        self._progress.found(self._best, self._uniform, used)
