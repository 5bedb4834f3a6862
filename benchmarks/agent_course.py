"""How one search of `benchmarks.agent` went, trial by trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from automl.core.problem import Problem
from benchmarks.bench import Timed


@dataclass(frozen=True, slots=True)
class Course:
    """One entry per trial, in order; the first one evaluates the uniform policy, whatever the engine."""

    divergences: tuple[float, ...]
    """Nats."""
    accuracies: tuple[float, ...]
    """In [0, 1]."""
    feasible: tuple[bool, ...]
    """Whether the policy is within the budget."""
    used: tuple[float, ...]
    """Share of the budget; above 1 where the policy is over it."""
    seconds: tuple[float, ...]
    """Wall time from the start, with the table's where the engine looks at it."""

    @classmethod
    def of(cls, problem: Problem, timed: Sequence[Timed], head_start_s: float) -> "Course":
        """What happened, trial by trial."""
        evaluations = [each.report.evaluation for each in timed]
        return cls(
            divergences=tuple(each.divergence for each in evaluations),
            accuracies=tuple(each.accuracy for each in evaluations),
            feasible=tuple(problem.budget.satisfied_by(each.cost, problem.dense) for each in evaluations),
            used=tuple(problem.budget.used(each.cost, problem.dense) for each in evaluations),
            seconds=tuple(each.seconds + head_start_s for each in timed),
        )

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> "Course":
        """What `dataclasses.asdict` made, after a way through JSON."""
        return cls(**{field.name: tuple(values[field.name]) for field in fields(cls)})

    def score(self, trials: int) -> float:
        """The lowest divergence within the budget of the first `trials`, over the uniform policy's; lower is better."""
        within = zip(self.divergences[:trials], self.feasible, strict=False)
        return min(divergence for divergence, feasible in within if feasible) / self.divergences[0]

    @property
    def feasible_share(self) -> float:
        """Of the engine's own proposals."""
        return float(np.mean(self.feasible[1:]))

    @property
    def median_use(self) -> float:
        """Share of the budget that the median of the engine's own proposals takes."""
        return float(np.median(self.used[1:]))
