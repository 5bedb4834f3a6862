"""A study as others may look at it: alone, with things shown beside its trials, and nothing can be written."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.study._frozen import FrozenStudy

from automl.store.address import StudyAddress


class StudyView(RDBStorage):
    """One study of a database, through connections on which the database itself refuses to write.

    What is shown beside the trials looks as if it were in the study's system attributes, where nothing of it ever is:
    a search that goes on meanwhile, or later, finds its study as it left it.

    Args:
        address: Of the study, which exists.
        study_id: Its key in the database.
        shown: System attributes to show beside its own.
    """

    def __init__(self, address: StudyAddress, study_id: int, shown: Mapping[str, Any]) -> None:
        super().__init__(address.engine_url, engine_kwargs=address.reading_settings, skip_table_creation=True)
        self._study_id, self._shown = study_id, dict(shown)

    def get_all_studies(self) -> list[FrozenStudy]:
        """The one; a database that several searches share holds others."""
        found = [each for each in super().get_all_studies() if each._study_id == self._study_id]
        for study in found:
            study.system_attrs = {**study.system_attrs, **self._shown}
        return found

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Its own and the ones that are shown."""
        return {**super().get_study_system_attrs(study_id), **self._shown}


@contextmanager
def view(study: optuna.Study, address: StudyAddress, shown: Mapping[str, Any]) -> Iterator[StudyView]:
    """Opens a view of `study`, which is at `address`, and closes its connections at the end."""
    storage = StudyView(address, study._study_id, shown)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()
