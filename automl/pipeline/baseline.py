"""The trained dense network: given by the user, found in the cache, or trained once."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from automl.core.errors import WeightsError
from automl.export.weights_file import WeightsInfo, read_weights, write_weights
from automl.pipeline.conversation import Conversation
from automl.pipeline.epochs import followed
from automl.pipeline.helpers import Job
from automl.pipeline.network import Network
from automl.pipeline.sharing import sharing
from automl.pipeline.subject import Subject
from automl.training.loop import train
from automl.training.recipe import Recipe, baseline_recipe

CACHE = ".cache"
"""Folder beside the runs that holds trained baselines; it can be deleted at any time."""


def ensure_baseline(
    subject: Subject, runs: Path, saved: Path | None, conversation: Conversation, curves: Path | None = None
) -> None:
    """Trains the subject's network in place, unless it is trained already.

    Looks in the run's own `saved` file first, then in the cache beside the runs. A training that was stopped or
    killed goes on from its last epoch, in this run or in another that needs the same baseline.

    Args:
        subject: Its model is changed.
        runs: Folder of all runs.
        saved: The run's own copy, written if it is not there; None for no run.
        conversation: Shows the epochs.
        curves: Folder of event files for TensorBoard; None for none.

    Raises:
        InterruptedRunError: If the user stopped the training.
    """
    key = _key(subject)
    info = WeightsInfo(subject.config.model, key)
    cached = runs / CACHE / f"baseline-{key[:16]}.safetensors"
    # A run's own baseline is the one that its trials were measured against, whatever recipe this version has.
    if saved is not None and saved.exists():
        read_weights(saved, subject.model)
        return
    if not subject.network.trained:
        if _loaded(cached, subject, key):
            conversation.say(f"Baseline: reused from {cached}.")
        else:
            _train(subject, cached.with_suffix(".checkpoint"), key, conversation, curves)
            write_weights(cached, subject.model, info)
            cached.with_suffix(".checkpoint").unlink(missing_ok=True)
    if saved is not None:
        write_weights(saved, subject.model, info)


def describe_start(network: Network) -> str:
    """One sentence on where the network's weights come from."""
    weights = network.weights
    if weights is None:
        return "No weights given: the baseline is trained from scratch."
    if weights.head_replaced:
        return (
            f"{weights.source} has {weights.file_classes} classes and the data {network.classes}: "
            "the classifier is replaced, and the baseline is trained on the data."
        )
    return f"Weights of {weights.source} fit and are the baseline."


def _recipe(subject: Subject) -> Recipe:
    pretrained = subject.network.weights is not None
    return baseline_recipe(len(subject.splits.train), epochs=subject.config.epochs, pretrained=pretrained)


def _key(subject: Subject) -> str:
    """Digest of all that the trained weights depend on."""
    start = subject.fingerprint
    facts = [start.model, start.weights, start.data, subject.splits.input_shape, subject.config.seed]
    return hashlib.sha256(json.dumps([*facts, asdict(_recipe(subject))]).encode()).hexdigest()


def _loaded(path: Path, subject: Subject, key: str) -> bool:
    if not path.is_file():
        return False
    try:
        read_weights(path, subject.model, policy_digest=key)
    except WeightsError:
        return False  # another network's, or damaged: it is written anew
    return True


def _train(subject: Subject, checkpoint: Path, key: str, conversation: Conversation, curves: Path | None) -> None:
    recipe, splits = _recipe(subject), subject.splits
    job = Job(None, rounded=False, recipe=recipe, taught=False)
    with (
        sharing(subject, job, subject.model, conversation) as team,
        followed("Baseline", recipe.epochs, curves, conversation) as on_epoch,
    ):
        train(
            subject.model,
            train_set=splits.train,
            selection_set=splits.selection,
            calibration_set=splits.calibration,
            recipe=recipe,
            seed=subject.config.seed,
            device=subject.device,
            checkpoint=checkpoint,
            on_epoch=on_epoch,
            stop=conversation.stop,
            fingerprint=key,
            team=team,
        )
