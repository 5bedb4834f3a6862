"""What trials must be before anything relies on them: whoever can write to a database may have written them."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from automl.core.decode import decoded
from automl.core.policy import CompressionPolicy
from automl.store.ledger import LOST, WORKER
from automl.store.trials import DIGEST, ENGINE, EVALUATION, FAILURE, GIVEN, LEVEL, POLICY, changed, worth_of

_TEXTS = (DIGEST, ENGINE, FAILURE, WORKER)
_FACTS: Mapping[str, Callable[[Any], object]] = {
    **dict.fromkeys(_TEXTS, lambda value: decoded(str, value)),
    GIVEN: lambda value: decoded(bool, value),
    LOST: lambda value: decoded(int, value),
    LEVEL: lambda value: decoded(int, value),
    POLICY: CompressionPolicy.from_json,
}


def check_trials(trials: Sequence[FrozenTrial]) -> None:
    """Refuses a trial that is not as a ledger writes it; one may lack facts, as those of a killed process do.

    Raises:
        RunError: If a parameter or fact is of another kind or out of its range.
    """
    for trial in trials:
        try:
            _check(trial)
        except ValueError as error:
            raise changed(trial, error) from error


def _check(trial: FrozenTrial) -> None:
    facts = trial.user_attrs
    decoded(int, trial.number)
    for name, check in _FACTS.items():
        if name in facts:
            check(facts[name])
    for name, distribution in trial.distributions.items():
        if not isinstance(distribution, FloatDistribution):
            raise ValueError(f"the parameter {name!r} is no float")
    # Optuna looks at parameters and values here, and not where it reads them.
    create_trial(state=trial.state, values=trial.values, params=trial.params, distributions=trial.distributions)
    worth = worth_of(trial) if EVALUATION in facts else None
    if trial.state is TrialState.COMPLETE:
        values = trial.values
        if len(values) != 1 or not math.isfinite(values[0]) or (worth is not None and worth.divergence != values[0]):
            raise ValueError(f"its value is {values}")
