"""Weights into a network: strictly, and without running code that a file brings along."""

import hashlib
import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import get_model_weights  # type: ignore[attr-defined]

from automl.core.errors import WeightsError
from automl.models.head import classifier_name
from automl.models.hub import hugging_face_file, url_file

_log = logging.getLogger(__name__)
_CONTAINERS = ("state_dict", "model_state_dict", "model_state", "model")
_PREFIXES = ("module.", "model.", "_orig_mod.")
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class WeightsReport:
    """What was loaded."""

    source: str
    """Path of the file, or the name of the pretrained weights."""
    head_replaced: bool
    """Whether the classifier kept its fresh initialisation, because the file has another number of classes."""
    file_classes: int | None
    """Classes that the file's classifier tells apart; None where the file has none."""
    sha256: str
    """Of the file's bytes, in hexadecimal."""


def load_weights(model: nn.Module, path: Path) -> WeightsReport:
    """Loads a `.safetensors` file or a `.pth`/`.pt` state dict; every name and shape must fit.

    Only the classifier may have another number of classes in the file: it then stays as it is.
    The network is untouched if anything else does not fit.

    Raises:
        WeightsError: If the file is missing, is no weights file, or its names or shapes differ.
    """
    state = _read(path)
    head_replaced, file_classes = _fit(model, state, str(path))
    return WeightsReport(str(path), head_replaced, file_classes, _file_digest(path))


def load_pretrained(model: nn.Module, spec: str) -> WeightsReport:
    """Loads the weights that timm or torchvision publish for `spec`, from their cache or the network.

    Raises:
        WeightsError: If none are published, or they are neither cached nor reachable (within two seconds).
    """
    source, _, name = spec.partition(":")
    if source == "timm":
        path, state = _pretrained_timm(name)
    elif source == "torchvision":
        path, state = _pretrained_torchvision(name)
    else:
        raise WeightsError(
            f"Pretrained weights are published for timm: and torchvision: models, but the model is {spec!r}. "
            "Use --weights FILE."
        )
    head_replaced, file_classes = _fit(model, state, spec)
    return WeightsReport(f"pretrained {spec}", head_replaced, file_classes, _file_digest(path))


def weights_digest(model: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of every parameter and buffer, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _pretrained_timm(name: str) -> tuple[Path, Mapping[str, Tensor]]:
    config = timm.get_pretrained_cfg(name)
    if config is not None and config.hf_hub_id:
        path = hugging_face_file(config.hf_hub_id, config.hf_hub_filename or "model.safetensors")
    elif config is not None and isinstance(config.url, str) and config.url:
        path = url_file(config.url)
    else:
        raise WeightsError(f"timm publishes no weights for {name!r}. Use --weights FILE, or train from scratch.")
    # Loading a named file through timm keeps its checkpoint converters, and never reaches for the network.
    donor = timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"file": str(path)})
    return path, donor.state_dict()


def _pretrained_torchvision(name: str) -> tuple[Path, Mapping[str, Tensor]]:
    try:
        weights = get_model_weights(name)["DEFAULT"]
    except (ValueError, KeyError) as error:
        raise WeightsError(
            f"torchvision publishes no weights for {name!r}. Use --weights FILE, or train from scratch."
        ) from error
    path = url_file(weights.url)
    return path, _read(path)


def _read(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise WeightsError(f"A weights file must exist, but {str(path)!r} does not. Check the path.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"A weights file must hold tensors only, but {str(path)!r} holds Python objects or is damaged. "
            "Nothing of it was run. Save it with `torch.save(model.state_dict(), FILE)` or as .safetensors."
        ) from error
    except Exception as error:  # damaged bytes make the readers raise anything
        raise WeightsError(
            f"A weights file must be a torch state dict or .safetensors, but {str(path)!r} cannot be read: "
            f"{error}. Save it again, or download it anew."
        ) from error
    return _state_dict(content, path)


def _state_dict(content: object, path: Path) -> Mapping[str, Tensor]:
    for key in _CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(
            f"A weights file must be a dict of tensors (or hold one under {', '.join(_CONTAINERS)}), "
            f"but {str(path)!r} is not. Save it with `torch.save(model.state_dict(), FILE)`."
        )
    return {str(name): tensor for name, tensor in content.items()}


def _fit(model: nn.Module, state: Mapping[str, Tensor], source: str) -> tuple[bool, int | None]:
    """Loads `state` into `model`; returns whether the head was left out, and the file's number of classes."""
    own = model.state_dict()
    state = _without_prefixes(state, own)
    # Files from before torch 0.4.1 lack this counter; it says nothing about what the network computes.
    counters = {key: value for key, value in own.items() if key.endswith(".num_batches_tracked")}
    state = {**{key: value for key, value in counters.items() if key not in state}, **state}
    head = classifier_name(model)
    foreign_head = _foreign_head(own, state, head)
    wrong = [key for key in own if key in state and state[key].shape != own[key].shape and key not in foreign_head]
    missing, unexpected = [key for key in own if key not in state], [key for key in state if key not in own]
    if missing or unexpected or wrong:
        shapes = [f"{key} {_shape(state[key])} instead of {_shape(own[key])}" for key in wrong]
        raise WeightsError(
            f"Weights must fit the network in every name and shape, but those of {source!r} do not:"
            f" {_named(missing=missing, unexpected=unexpected, wrong_shape=shapes)}. "
            "Check that the file belongs to the model that `--model` names."
        )
    broken = [key for key in own if key in state and not bool(torch.isfinite(state[key]).all())]
    if broken:
        raise WeightsError(
            f"Weights must be finite, but those of {source!r} have NaN or infinity in {', '.join(broken[:_SHOWN])}. "
            "Save or export them again."
        )
    weight = state.get(f"{head}.weight")
    file_classes = int(weight.shape[0]) if weight is not None else None
    if foreign_head:
        _log.warning("%s has %s classes: the classifier %s starts afresh", source, file_classes, head)
    model.load_state_dict({**state, **{key: own[key] for key in foreign_head}})
    return bool(foreign_head), file_classes


def _foreign_head(own: Mapping[str, Tensor], state: Mapping[str, Tensor], head: str) -> list[str]:
    """The classifier's tensors, where they differ from the file's in the number of classes and in nothing else."""
    keys = [key for key in (f"{head}.weight", f"{head}.bias") if key in own and key in state]
    if any(own[key].shape[1:] != state[key].shape[1:] or not state[key].ndim for key in keys):
        return []
    if len({state[key].shape[0] for key in keys}) > 1:
        return []
    return [key for key in keys if own[key].shape != state[key].shape]


def _without_prefixes(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Takes away what DataParallel, torch.compile and training frameworks put before every name."""
    for prefix in _PREFIXES * 2:
        if all(key.startswith(prefix) for key in state) and not all(key.startswith(prefix) for key in own):
            state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return state


def _named(*, missing: list[str], unexpected: list[str], wrong_shape: list[str]) -> str:
    kinds = {"missing": missing, "unexpected": unexpected, "wrong shape": wrong_shape}
    parts = []
    for kind, items in kinds.items():
        more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
        if items:
            parts.append(f"{len(items)} {kind} ({', '.join(items[:_SHOWN])}{more})")
    return "; ".join(parts)


def _shape(tensor: Tensor) -> str:
    return "x".join(str(size) for size in tensor.shape) or "scalar"


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
