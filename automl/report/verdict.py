"""A run in one sentence: what is kept, at what cost, and whether narrowing everything would have done as well."""

from collections.abc import Mapping

from automl.core.budget import Metric
from automl.evaluate.interval import PairedDifference, paired95
from automl.report.metrics import BudgetLine, Metrics, ModelRow
from automl.report.quantity import percent
from automl.report.rows import METRIC_WORDS, amount
from automl.store.answers import ImageAnswers


def verdict(metrics: Metrics, answers: ImageAnswers | None) -> str:
    """One sentence on a result.

    Args:
        metrics: The result.
        answers: To the test images; None where they were not kept: then only intervals side by side are compared.
    """
    missed = any(not line.met for line in metrics.budgets)
    costs = " and ".join(_cost(line, metrics.baseline) for line in metrics.budgets)
    start = f"{'A budget is missed: at' if missed else 'At'} {costs} the network" if costs else "The network"
    final = metrics.final
    kept = (
        f"{start} keeps {percent(final.accuracy)} of {percent(metrics.baseline.accuracy)} {metrics.accuracy_is} "
        f"(95% interval {interval(final.accuracy_ci95)})"
    )
    return f"{kept}; {_beside_uniform(metrics, answers)}."


def paired(answers: ImageAnswers, ours: str, theirs: str) -> PairedDifference:
    """How two networks of one result differ on the test images; both by their keys in `metrics.json`."""
    same = bool((answers.networks[ours] == answers.networks[theirs]).all())
    return paired95(answers.right(ours), answers.right(theirs), same=same)


def differences(answers: ImageAnswers) -> Mapping[str, PairedDifference]:
    """What there is to compare within a result: title -> paired difference."""
    pairs = {
        "Exported less Baseline": (answers.final, "baseline"),
        "Best less Uniform, both before fine-tuning": ("best", "uniform"),
        "Quantized less Fine-tuned": ("quantized", "finetuned"),
    }
    return {
        title: paired(answers, *names)
        for title, names in pairs.items()
        if all(name in answers.networks for name in names)
    }


def points(difference: PairedDifference) -> str:
    """A difference with its interval, in percentage points: `+1.2 points (95% interval -0.3 to +2.7)`."""
    low, high = difference.ci95
    return f"{100 * difference.difference:+.1f} points (95% interval {100 * low:+.1f} to {100 * high:+.1f})"


def interval(ends: tuple[float, float]) -> str:
    """Both ends in per cent: `69.0 to 73.3`."""
    return f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"


def _cost(line: BudgetLine, dense: ModelRow) -> str:
    found = line.predicted if line.measured is None else line.measured
    met = "met" if line.met else "missed"
    said = f"{met}, as predicted" if line.measured is None else met
    whole = dense.of(Metric(line.metric))
    if not whole:
        return f"{amount(line.metric, found)} (budget {amount(line.metric, line.asked)}: {said})"
    return f"{percent(found / whole)} of the {METRIC_WORDS[line.metric]} (budget {percent(line.asked / whole)}: {said})"


def _beside_uniform(metrics: Metrics, answers: ImageAnswers | None) -> str:
    best, uniform = metrics.best, metrics.uniform
    before = "" if metrics.finetuned is None else "before fine-tuning "
    both = f"{before}it keeps {percent(best.accuracy)} and uniform narrowing {percent(uniform.accuracy)}"
    if metrics.search.winner == "uniform":
        return f"the policy is the uniform one ({percent(uniform.accuracy)} {before.strip() or 'as it is'})"
    if answers is None or not {"best", "uniform"} <= set(answers.networks):
        return f"{both}, {_side_by_side(best, uniform)}"
    found = paired(answers, "best", "uniform")
    if found.same:
        return f"{both}, with the same answer to every test image"
    if not found.told:
        return f"{both}, which is no difference that can be told: {points(found)}"
    return f"{both}: {'the search' if found.difference > 0 else 'uniform narrowing'} is better, by {points(_up(found))}"


def _up(found: PairedDifference) -> PairedDifference:
    """The difference in favour of the better one."""
    if found.difference >= 0:
        return found
    low, high = found.ci95
    return PairedDifference(
        found.images, found.only_theirs, found.only_ours, -found.difference, (-high, -low), found.same
    )


def _side_by_side(best: ModelRow, uniform: ModelRow) -> str:
    (low, high), (other_low, other_high) = best.accuracy_ci95, uniform.accuracy_ci95
    if low <= other_high and other_low <= high:
        return "and their intervals overlap, so that the order may be chance"
    return "and their intervals do not overlap"
