"""`model.safetensors`: the state dict of a slimmed network, with the policy that it belongs to."""

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from automl.core.errors import WeightsError
from automl.models.weights import load_weights
from automl.store.files import write_bytes


@dataclass(frozen=True, slots=True)
class WeightsInfo:
    """Which network the weights belong to."""

    model: str
    """Model spec that builds the dense network."""
    policy_digest: str
    """Digest of the policy that slims it."""


def write_weights(path: Path, model: nn.Module, info: WeightsInfo) -> None:
    """Writes every parameter and buffer of `model`, whole or not at all.

    Raises:
        RunError: If the disk is full or the folder cannot be written.
    """
    # A copy of each, because the format refuses tensors that share memory, as those of a module used twice do.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()}
    write_bytes(path, save(tensors, {"model": info.model, "policy_digest": info.policy_digest}))


def read_weights(path: Path, model: nn.Module, *, policy_digest: str | None = None) -> WeightsInfo:
    """Loads the file into `model`, which is slimmed already; every name and shape must fit.

    Args:
        path: What `write_weights` wrote.
        model: Built by `WeightsInfo.model` and slimmed by the policy.
        policy_digest: Refuses a file that belongs to another policy; None takes any.

    Raises:
        WeightsError: If the file is missing, damaged, of another policy, or does not fit.
    """
    info = read_weights_info(path)
    if policy_digest not in (None, info.policy_digest):
        raise WeightsError(
            f"Weights must belong to the policy, but {path} has those of {info.policy_digest[:12]} and the policy "
            f"is {policy_digest[:12]}. Take the policy.json that lies beside the weights."
        )
    if load_weights(model, path).head_replaced:
        raise WeightsError(
            f"Exported weights must have the network's classes, but those in {path} have others. "
            "Build the network with the number of classes that policy.json says."
        )
    return info


def read_weights_info(path: Path) -> WeightsInfo:
    """Reads which network the file belongs to, without its tensors.

    Raises:
        WeightsError: If the file is missing, damaged, or does not say.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return WeightsInfo(metadata["model"], metadata["policy_digest"])
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"Exported weights must be a .safetensors file, but {path} is not: {error}. Export the run again."
        ) from error
    except KeyError as error:
        raise WeightsError(
            f"Exported weights must say their {error.args[0]}, but {path} does not. Export the run again."
        ) from error
