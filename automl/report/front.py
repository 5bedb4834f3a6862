"""The front of a search under a range of budgets: the trials that no other one beats."""

from collections.abc import Iterable
from dataclasses import dataclass

from automl.core.budget import Metric
from automl.store.trials import CompletedTrial


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """A trial that no other one beats: none is as cheap and diverges as little."""

    trial: int
    """Its number, as `automl export --trial` takes it."""
    metric: str
    """What it is held to: `flops`, `params`, `size` or `bops`."""
    cost: float
    """MACs, parameters, bytes or BOPs."""
    divergence: float
    """From the dense network on the search split, in nats; not fine-tuned."""
    accuracy: float
    """On the search split, in [0, 1]; not fine-tuned."""
    accuracy_ci95: tuple[float, float]
    """Wilson interval of `accuracy`."""


def front(trials: Iterable[CompletedTrial], metric: Metric) -> tuple[FrontPoint, ...]:
    """Those of `trials` that no other one beats in cost and divergence, the cheapest first; of equal ones the first.

    Args:
        trials: Of one study, whatever budgets they were held to.
        metric: What they cost.
    """
    found: list[FrontPoint] = []
    for trial in sorted(trials, key=lambda each: (metric.of(each.evaluation.cost), each.evaluation.divergence)):
        worth = trial.evaluation
        if not found or worth.divergence < found[-1].divergence:
            cost = metric.of(worth.cost)
            point = FrontPoint(trial.number, metric.value, cost, worth.divergence, worth.accuracy, worth.accuracy_ci95)
            found.append(point)
    return tuple(found)
