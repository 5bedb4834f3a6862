"""Trials as workers write them, for tests that need some."""

import optuna

from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from automl.store.ledger import Ledger, Proposal
from automl.store.patience import Patience
from automl.store.trials import Source


def ledger(study: optuna.Study, worker: str = "worker") -> Ledger:
    return Ledger(study, worker, Patience(0.0))


def proposal(policy: CompressionPolicy, engine: str = "solver", level: int = 0) -> Proposal:
    return Proposal(policy, {}, {}, engine, level=level)


def tell(
    study: optuna.Study, evaluation: Evaluation, source: Source = "new", engine: str = "solver", level: int = 0
) -> None:
    """A completed trial."""
    own = ledger(study)
    assert own.complete(own.begin(proposal(evaluation.policy, engine, level)), evaluation, source)


def fail(study: optuna.Study, policy: CompressionPolicy, reason: str) -> None:
    """A failed trial."""
    own = ledger(study)
    assert own.fail(own.begin(proposal(policy)), reason)
