"""Optuna's relational storage, which writes a whole trial with a few statements.

Optuna itself reads back, compares and writes each parameter and each attribute of a trial on its own: with 40
parameters that takes 60 ms in SQLite, which is as long as many an evaluation. The rows are the same.
"""

import json
from datetime import datetime

from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import insert
from sqlalchemy.orm import Session


class BulkStorage(RDBStorage):
    """Adds trials that have parameters and attributes in one go; everything else is Optuna's."""

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: Session
    ) -> models.TrialModel:
        # Optuna calls this in a transaction that locks the study, so that numbers are unique.
        simple = template_trial is not None and template_trial.state in (TrialState.RUNNING, TrialState.WAITING)
        if template_trial is None or not simple:
            return super()._get_prepared_new_trial(study_id, template_trial, session)
        trial = models.TrialModel(
            study_id=study_id, number=None, state=template_trial.state, datetime_start=datetime.now()
        )
        session.add(trial)
        session.flush()
        parameters = [
            {
                "trial_id": trial.trial_id,
                "param_name": name,
                "param_value": distribution.to_internal_repr(template_trial.params[name]),
                "distribution_json": distribution_to_json(distribution),
            }
            for name, distribution in template_trial.distributions.items()
        ]
        facts = [
            {"trial_id": trial.trial_id, "key": key, "value_json": json.dumps(value)}
            for key, value in template_trial.user_attrs.items()
        ]
        if parameters:
            session.execute(insert(models.TrialParamModel), parameters)
        if facts:
            session.execute(insert(models.TrialUserAttributeModel), facts)
        trial.number = trial.count_past_trials(session)
        return trial
