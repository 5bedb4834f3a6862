"""What the workers of a study need of its run, in the database that they share."""

from collections.abc import Iterator
from contextlib import contextmanager

import optuna

from automl.store.address import StudyAddress
from automl.store.config import RunConfig
from automl.store.files import write_bytes
from automl.store.run import Run
from automl.store.shelf import fetch, publish
from automl.store.study import open_study

_NAMES = (
    "config.toml",
    "manifest.json",
    "device.json",
    "state/baseline.safetensors",
    "state/sensitivity.json",
    "state/boost.json",
)
"""What a search goes by: settings, fingerprint, times of the device, trained weights, tables."""


def study_address(run: Run, config: RunConfig) -> StudyAddress:
    """Where the trials of a run are."""
    if config.storage is None:
        return StudyAddress.of_file(run.study_db)
    return StudyAddress.parse(config.storage, run.name)


@contextmanager
def run_study(run: Run, config: RunConfig) -> Iterator[optuna.Study]:
    """The trials of a run, open.

    A file of the run's own is made where it is not there yet. A database that several share is not touched unless the
    study is in it, where the search put it when it began: a run's settings may name any.

    Raises:
        RunError: If the database cannot be opened, is damaged, or lacks the study.
        StorageError: If, inside the `with` block, the disk or the server refuses a trial.
    """
    with open_study(study_address(run, config), make=config.storage is None) as study:
        yield study


def publish_run(run: Run, address: StudyAddress) -> None:
    """Puts what workers need of a run, whose baseline is trained and whose table is measured, into the database.

    Raises:
        StorageError: If the database refuses.
    """
    there = [name for name in _NAMES if (run.path / name).is_file()]
    publish(address, {name: (run.path / name).read_bytes() for name in there})


def fetch_run(run: Run, address: StudyAddress) -> bool:
    """Writes what was published of a run into a folder; False where nothing is published yet.

    Only files of the names that we publish are written, whatever the database holds.

    Raises:
        StorageError: If the database or the disk refuses.
        RunError: If a file is not what was published.
    """
    files = fetch(address)
    for name in _NAMES:
        if name in files:
            write_bytes(run.path / name, files[name])
        else:
            (run.path / name).unlink(missing_ok=True)
    return bool(files)
