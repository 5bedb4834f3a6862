"""Published weights files: from the local cache, else downloaded, never waiting for a network that is not there."""

import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

import huggingface_hub
import torch
from huggingface_hub import constants

from automl.core.errors import WeightsError

_PROBE_SECONDS = 1.0


def hugging_face_file(repository: str, filename: str) -> Path:
    """Path of one file of a Hugging Face repository in the local cache, downloaded if it is not there.

    Raises:
        WeightsError: Within about a second, if it is not cached and the host does not answer.
    """
    cached = huggingface_hub.try_to_load_from_cache(repository, filename)
    if isinstance(cached, str):
        return Path(cached)
    if constants.HF_HUB_OFFLINE:
        raise _offline(f"{repository}/{filename}", "HF_HUB_OFFLINE is set")
    _require_host(constants.ENDPOINT, f"{repository}/{filename}")
    try:
        return Path(str(huggingface_hub.hf_hub_download(repository, filename, etag_timeout=_PROBE_SECONDS)))
    except OSError as error:  # every error of the hub is one
        raise _offline(f"{repository}/{filename}", str(error)) from error


def url_file(url: str) -> Path:
    """Path of a published file in torch's cache, downloaded and held against the hash in its name if not there.

    Raises:
        WeightsError: Within about a second, if it is not cached and the host does not answer.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name
    if path.is_file():
        return path
    _require_host(url, path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    stem, _, tail = path.stem.rpartition("-")
    prefix = tail if stem and len(tail) >= 8 and set(tail) <= set("0123456789abcdef") else None
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=prefix, progress=False)
    except (OSError, RuntimeError) as error:
        raise _offline(path.name, str(error)) from error
    return path


def _require_host(url: str, what: str) -> None:
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    door = urlsplit(proxy) if proxy else parts
    host, port = door.hostname or "", door.port or (443 if door.scheme == "https" else 80)
    if not answers(host, port, _PROBE_SECONDS):
        raise _offline(what, f"{host} does not answer")


def answers(host: str, port: int, seconds: float) -> bool:
    """Whether a connection to `host` opens within `seconds`."""
    opened = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=seconds).close()
            opened.set()
        except OSError:
            return

    # A thread, because resolving a name has no time limit of its own.
    prober = threading.Thread(target=connect, daemon=True)
    prober.start()
    prober.join(seconds)
    return opened.is_set()


def _offline(what: str, reason: str) -> WeightsError:
    return WeightsError(
        f"Pretrained weights must be in the local cache or within reach, but {what} is neither ({reason}). "
        "Download the file where there is a network and use --weights FILE."
    )
