"""One worker: a process, on any machine, that evaluates policies of a search which another one leads."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from automl.core.errors import InputError, InterruptedRunError, RunError
from automl.core.user_code import Named
from automl.pipeline.baseline import ensure_baseline
from automl.pipeline.conversation import Conversation
from automl.pipeline.dense import dense_network
from automl.pipeline.publishing import fetch_run
from automl.pipeline.searching import help_search
from automl.pipeline.subject import Subject, reopen_subject
from automl.store.address import StudyAddress
from automl.store.config import RunConfig, load_config
from automl.store.manifest import check_fingerprint, read_manifest
from automl.store.run import Run, check_own, checked_path
from automl.store.study import open_study

WORKERS = ".workers"
"""Folder beside the runs that holds what workers fetched; it can be deleted when none works."""
_POLL_S = 1.0


def work(
    address: StudyAddress,
    runs: Path,
    model: str | None,
    data: str | None,
    device: str | None,
    conversation: Conversation,
) -> int:
    """Works on a study until it has as many trials as were asked for.

    Args:
        address: Of the study.
        runs: Folder of all runs; a folder in it takes what is fetched.
        model: The model's name where the user says it again; code is imported only if that names it.
        data: The same for the data; images may lie elsewhere here, as long as they are the same.
        device: Where to compute; None for what the search was asked for.
        conversation: Shows what happens.

    Returns:
        How many trials this worker completed.

    Raises:
        RunError: If the study does not exist, or model or data are not those of the search.
        InputError: If the search needs code that the user did not name.
        InterruptedRunError: If the user stopped.
        StorageError: If the database does not answer.
    """
    with open_study(address, make=False) as study:
        run = _folder(runs, address.name)
        conversation.say(f"Study: {address.name} in {address}")
        _wait(lambda: fetch_run(run, address), conversation)
        config = _settled(load_config(run.config), run, model, data, device)
        subject = _same_subject(run, config)
        ensure_baseline(subject, runs, run.state / "baseline.safetensors", conversation)
        return help_search(run, subject, dense_network(subject), study, conversation)


def _folder(runs: Path, name: str) -> Run:
    run = Run(checked_path(runs / WORKERS, name).resolve())
    for folder in (run.path, run.state):
        folder.mkdir(parents=True, exist_ok=True)
    check_own(run)
    return run


def _wait(is_there: Callable[[], bool], conversation: Conversation) -> None:
    said = False
    while not is_there():
        if conversation.stop():
            raise InterruptedRunError("The worker was stopped before the search was prepared.")
        if not said:
            conversation.say("Waiting for the process that leads the search to prepare it.")
            said = True
        time.sleep(_POLL_S)


def _settled(config: RunConfig, run: Run, model: str | None, data: str | None, device: str | None) -> RunConfig:
    """The settings of the search, as they hold here."""
    Named(model, data).check_code(model=config.model, data=config.data)
    if model is not None and model != config.model:
        raise InputError(f"A worker has the model of its search, {config.model!r}, but got {model!r}. Leave it out.")
    # The trained weights came with the study; where they once lay does not matter here.
    return replace(
        config,
        weights=str(run.state / "baseline.safetensors"),
        data=config.data if data is None else data,
        device=config.device if device is None else device,
        tensorboard=False,
    )


def _same_subject(run: Run, config: RunConfig) -> Subject:
    subject = reopen_subject(run, config)
    wanted = read_manifest(run.manifest).fingerprint
    # The weights are those that were published, trained; the search began with others.
    found = replace(subject.fingerprint, weights=wanted.weights)
    try:
        check_fingerprint(wanted, found)
    except RunError as error:
        raise RunError(f"A worker must see what the search began with. {error}") from error
    return replace(subject, fingerprint=wanted)
