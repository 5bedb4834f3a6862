import io
from dataclasses import replace

from rich.console import Console

from automl.core.evaluation import Evaluation
from automl.pipeline.best_so_far import BestSoFar
from automl.report.progress import Progress
from automl.search.engine import TrialReport
from automl.search.sampler import uniform_policy
from tests.contracts.problem import SeparableEvaluator, separable_problem


class Shown(Progress):
    """What is shown of the best, instead of showing it."""

    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO()))
        self.told: list[tuple[float, float | None]] = []

    def found(self, best: Evaluation, uniform: Evaluation | None, used: float) -> None:
        assert 0.9 < used <= 1
        self.told.append((best.divergence, None if uniform is None else uniform.divergence))


def report(number: int, evaluation: Evaluation, best: Evaluation, level: int = 0) -> TrialReport:
    return TrialReport(number, number + 1, 10, evaluation, best, from_cache=False, ours=True, level=level)


def test_the_best_is_shown_beside_the_uniform_policy_and_goes_on_from_earlier_sessions() -> None:
    problem = separable_problem(SeparableEvaluator())
    uniform = replace(problem.evaluate(uniform_policy(problem)), divergence=1.0)
    solved = problem.solved([0.0] * len(problem.knobs))
    good, bad = (replace(problem.evaluate(solved), divergence=value) for value in (0.5, 0.7))
    shown = Shown()
    with shown:
        best = BestSoFar(problem, [bad], shown)
        best.show(report(1, uniform, bad))
        best.show(report(2, good, good))
        best.show(report(3, bad, good))
    assert shown.told == [(0.7, None), (0.7, 1.0), (0.5, 1.0), (0.5, 1.0)]


def test_trials_under_looser_budgets_do_not_change_it() -> None:
    problem = separable_problem(SeparableEvaluator())
    first = replace(problem.evaluate(uniform_policy(problem)), divergence=1.0)
    easier = replace(first, divergence=0.1)
    shown = Shown()
    with shown:
        best = BestSoFar(problem, [], shown)
        best.show(report(0, first, first))
        best.show(report(1, easier, easier, level=1))
    assert shown.told == [(1.0, 1.0)]
