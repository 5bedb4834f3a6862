"""Optuna's relational storage, which writes the beginning and the end of a trial in one go each.

Optuna itself reads back, compares and writes each parameter and each attribute of a trial on its own: with 40
parameters that takes 60 ms in SQLite, which is as long as many an evaluation. The rows are the same.
"""

import json
from collections.abc import Mapping
from copy import copy
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb.models import (
    StudyModel,
    TrialModel,
    TrialParamModel,
    TrialUserAttributeModel,
    TrialValueModel,
)
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, bindparam, func, insert, select, update

_UNFINISHED = (TrialState.RUNNING, TrialState.WAITING)
_TRIALS, _VALUES = TrialModel.__table__, TrialValueModel.__table__
_PARAMETERS, _FACTS = TrialParamModel.__table__, TrialUserAttributeModel.__table__
_WRITE_PARAMETERS, _WRITE_FACTS, _WRITE_VALUE = insert(_PARAMETERS), insert(_FACTS), insert(_VALUES)
# Statements that are built once are compiled once.
_LOCK = select(StudyModel.study_id).where(StudyModel.study_id == bindparam("study")).with_for_update()
_EARLIER = _TRIALS.alias()
_COUNT = select(func.count()).select_from(_EARLIER).where(_EARLIER.c.study_id == bindparam("study"))
_BEGIN = (
    insert(_TRIALS)
    .values(
        study_id=bindparam("study"),
        number=_COUNT.scalar_subquery(),
        state=bindparam("begun_as"),
        datetime_start=bindparam("now"),
    )
    .returning(_TRIALS.c.trial_id, _TRIALS.c.number)
)
_END = (
    update(_TRIALS)
    .where(_TRIALS.c.trial_id == bindparam("trial"), _TRIALS.c.state.in_(_UNFINISHED))
    .values(state=bindparam("ended_as"), datetime_complete=bindparam("now"))
)


class BulkStorage(RDBStorage):
    """Begins and ends trials with a few statements; everything else is Optuna's."""

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        """Optuna's method, for templates that are yet to be evaluated."""
        if template_trial is None or template_trial.state not in _UNFINISHED:
            return super()._create_new_trial(study_id, template_trial)
        made = copy(template_trial)
        made.datetime_start = datetime.now()
        with self.engine.begin() as connection:
            # So that numbers are unique; SQLite locks all of itself before it writes.
            if connection.dialect.name != "sqlite":
                connection.execute(_LOCK, {"study": study_id})
            row = {"study": study_id, "begun_as": made.state, "now": _utc(made.datetime_start)}
            made._trial_id, made.number = connection.execute(_BEGIN, row).one()
            _write_parameters(connection, made)
            _write_facts(connection, made._trial_id, made.user_attrs)
        return made

    def end_trial(self, trial_id: int, state: TrialState, value: float | None, facts: Mapping[str, Any]) -> None:
        """Ends a trial, in one transaction.

        Args:
            trial_id: Its key in the database.
            state: How it ends.
            value: Finite; None where it has none.
            facts: Attributes that it does not have yet, as JSON values.

        Raises:
            UpdateFinishedTrialError: If it had ended before.
        """
        now = _utc(datetime.now())
        with self.engine.begin() as connection:
            ended = connection.execute(_END, {"trial": trial_id, "ended_as": state, "now": now})
            if ended.rowcount != 1:
                raise UpdateFinishedTrialError(f"Trial {trial_id} has ended before.")
            _write_facts(connection, trial_id, facts)
            if value is not None:
                stored, kind = TrialValueModel.value_to_stored_repr(value)
                row = {"trial_id": trial_id, "objective": 0, "value": stored, "value_type": kind}
                connection.execute(_WRITE_VALUE, row)


def create_trial_in(storage: BaseStorage, study_id: int, template: FrozenTrial) -> FrozenTrial:
    """Adds a trial that is yet to be evaluated, in one transaction if there are any; returns it with its number."""
    database = _database(storage)
    if database is not None:
        return database._create_new_trial(study_id, template)
    return storage.get_trial(storage.create_new_trial(study_id, template_trial=template))


def end_trial_in(
    storage: BaseStorage, trial_id: int, state: TrialState, value: float | None, facts: Mapping[str, Any]
) -> None:
    """Ends a trial, in one transaction if there are any; raises `UpdateFinishedTrialError` where it has ended."""
    database = _database(storage)
    if database is not None:
        database.end_trial(trial_id, state, value, facts)
        return
    for name, fact in facts.items():
        storage.set_trial_user_attr(trial_id, name, fact)
    storage.set_trial_state_values(trial_id, state, None if value is None else [value])


def _database(storage: BaseStorage) -> BulkStorage | None:
    """What is behind the cache that Optuna puts before a database; None for a study in memory."""
    backend = getattr(storage, "_backend", storage)
    return backend if isinstance(backend, BulkStorage) else None


def _write_parameters(connection: Connection, trial: FrozenTrial) -> None:
    rows = [
        {
            "trial_id": trial._trial_id,
            "param_name": name,
            "param_value": distribution.to_internal_repr(trial.params[name]),
            "distribution_json": distribution_to_json(distribution),
        }
        for name, distribution in trial.distributions.items()
    ]
    if rows:
        connection.execute(_WRITE_PARAMETERS, rows)


def _write_facts(connection: Connection, trial_id: int, facts: Mapping[str, Any]) -> None:
    rows = [{"trial_id": trial_id, "key": key, "value_json": json.dumps(value)} for key, value in facts.items()]
    if rows:
        connection.execute(_WRITE_FACTS, rows)


def _utc(local: datetime) -> datetime:
    """As Optuna keeps times: without a zone, in UTC."""
    return local.astimezone(UTC).replace(tzinfo=None)
