"""Remembers what policies are worth, so that equal ones are evaluated once."""

from dataclasses import replace

from automl.core.evaluation import Evaluation, Evaluator
from automl.core.policy import CompressionPolicy


class EvaluationCache:
    """An evaluator with a memory, keyed by `policy.digest()`."""

    def __init__(self, evaluate: Evaluator) -> None:
        """Wraps `evaluate`; nothing is known yet."""
        self._evaluate = evaluate
        self._known: dict[str, Evaluation] = {}

    def learn(self, evaluation: Evaluation) -> None:
        """Remembers what an earlier session or another worker has found; of equal policies the first."""
        self._known.setdefault(evaluation.policy.digest(), evaluation)

    def __contains__(self, policy: CompressionPolicy) -> bool:
        """Whether `policy` has been evaluated."""
        return policy.digest() in self._known

    def __call__(self, policy: CompressionPolicy) -> tuple[Evaluation, bool]:
        """The evaluation of `policy`, and whether it was remembered; a remembered one took 0 seconds."""
        digest = policy.digest()
        if digest in self._known:
            return replace(self._known[digest], seconds=0.0), True
        self._known[digest] = evaluation = self._evaluate(policy)
        return evaluation, False
