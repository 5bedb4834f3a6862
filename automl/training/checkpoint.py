"""The file from which a killed training goes on as if nothing had happened."""

import io
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from automl.core.decode import decoded
from automl.core.errors import RunError
from automl.store.files import write_bytes
from automl.training.recipe import Recipe
from automl.training.score import Score

_FORMAT = "automl-training/2"


@dataclass(frozen=True, slots=True)
class Kept:
    """The weights to stay with, so far."""

    epoch: int
    """0 for the weights that the training was given."""
    score: Score
    """On the selection split, batch norm recalibrated."""
    weights: Mapping[str, Tensor]
    """A copy of the state dict."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What must be equal for a training to go on from a checkpoint."""

    fingerprint: str
    """The caller's digest of network, data and whatever else matters."""
    seed: int
    """Seed of the training."""
    recipe: Recipe
    """How the network is trained."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A training after a whole epoch. Random numbers need no place here: each epoch's follow from the seed."""

    epoch: int
    """Epochs done."""
    seconds: float
    """Wall time so far."""
    model: Mapping[str, Any]
    """State dict of the network."""
    optimizer: Mapping[str, Any]
    """State dict of the optimizer."""
    schedule: Mapping[str, Any]
    """State dict of the learning-rate schedule."""
    kept: Kept
    """The weights to stay with, so far."""


def write_checkpoint(path: Path, checkpoint: Checkpoint, identity: Identity) -> None:
    """Replaces the file at `path`, which is whole at any instant.

    Raises:
        RunError: If the disk is full or cannot be written.
    """
    content = {
        "format": _FORMAT,
        "identity": asdict(identity),
        "epoch": checkpoint.epoch,
        "seconds": checkpoint.seconds,
        "model": checkpoint.model,
        "optimizer": checkpoint.optimizer,
        "schedule": checkpoint.schedule,
        "kept": {
            "epoch": checkpoint.kept.epoch,
            "score": asdict(checkpoint.kept.score),
            "weights": checkpoint.kept.weights,
        },
    }
    # Made in memory first: torch's own writer says RuntimeError where the disk says that it is full.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getvalue())


def read_checkpoint(path: Path, identity: Identity, device: torch.device) -> Checkpoint | None:
    """The checkpoint at `path`; None where there is none.

    Raises:
        RunError: If the file is damaged, or belongs to another training (what differs is named).
    """
    if not path.exists():
        return None
    way_out = "Delete it to train from the start."
    try:
        content = torch.load(path, map_location=device, weights_only=True)
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']!r} instead of {_FORMAT!r}")
        _refuse_another(path, content["identity"], asdict(identity), way_out)
        kept = content["kept"]
        return Checkpoint(
            decoded(int, content["epoch"]),
            decoded(float, content["seconds"]),
            content["model"],
            content["optimizer"],
            content["schedule"],
            Kept(decoded(int, kept["epoch"]), decoded(Score, kept["score"]), kept["weights"]),
        )
    except RunError:
        raise
    except Exception as error:  # damaged bytes make the readers raise anything
        raise RunError(
            f"A checkpoint must be one that `automl` wrote, but {path} is not: {error}. {way_out}"
        ) from error


def check_form(what: str, found: object, own: object) -> None:
    """Refuses a state dict of another form than this training's own: libraries take over whatever one says.

    Args:
        what: Its name, for the message.
        found: From a checkpoint.
        own: Tensors of the same shapes, lists as long, and plain values of the same types.

    Raises:
        RunError: If they differ, or a tensor holds NaN or infinity.
    """
    if isinstance(own, Tensor):
        same = isinstance(found, Tensor) and found.shape == own.shape and bool(torch.isfinite(found).all())
    elif isinstance(own, Mapping):
        same = isinstance(found, Mapping) and set(found) == set(own)
    elif isinstance(own, list | tuple):
        same = isinstance(found, list | tuple) and len(found) == len(own)
    else:
        same = type(found) is type(own) or {type(found), type(own)} == {int, float}
        same = same and not (isinstance(found, float) and not math.isfinite(found))
    if not same:
        raise RunError(
            f"A checkpoint must be of this network and training, but its {what} is not. Delete the checkpoints in the "
            "run's `state` folder to train from the start."
        )
    if isinstance(own, Mapping) and isinstance(found, Mapping):
        for name, value in own.items():
            check_form(f"{what}[{name!r}]", found[name], value)
    elif isinstance(own, list | tuple) and isinstance(found, list | tuple):
        for place, value in enumerate(own):
            check_form(f"{what}[{place}]", found[place], value)


def _refuse_another(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any], way_out: str) -> None:
    old, new = _flat(found), _flat(wanted)
    differing = [f"{name} was {old.get(name)!r} and is {new[name]!r}" for name in new if old.get(name) != new[name]]
    if differing:
        raise RunError(
            f"A training goes on only where it began, but {path} is of another: {', '.join(differing)}. {way_out}"
        )


def _flat(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {"fingerprint": identity["fingerprint"], "seed": identity["seed"], **identity["recipe"]}
