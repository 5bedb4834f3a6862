"""Whether published weights can be had at all, asked before torch or timm are imported."""

import os
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import constants

from automl.core.errors import WeightsError

PROBE_SECONDS = 1.0
_TORCHVISION_HOST = "https://download.pytorch.org"


def refuse_unreachable(spec: str) -> None:
    """Says at once that weights are out of reach, where nothing like them is cached and their host is silent.

    A cached file of a similar name passes; whether it is the right one is seen when it is loaded.

    Args:
        spec: `timm:NAME` or `torchvision:NAME`; others are not looked at.

    Raises:
        WeightsError: Within about a second.
    """
    source, _, name = spec.partition(":")
    hosts = {"timm": constants.ENDPOINT, "torchvision": _TORCHVISION_HOST}
    if source not in hosts or _cached_like(name.partition(".")[0]):
        return
    if source == "timm" and constants.HF_HUB_OFFLINE:
        raise offline(spec, "HF_HUB_OFFLINE is set")
    require_host(hosts[source], spec)


def require_host(url: str, what: str) -> None:
    """Raises `WeightsError` about `what` if the host of `url`, or the proxy before it, does not answer in a second."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    door = urlsplit(proxy) if proxy else parts
    host, port = door.hostname or "", door.port or (443 if door.scheme == "https" else 80)
    if not answers(host, port, PROBE_SECONDS):
        raise offline(what, f"{host} does not answer")


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


def offline(what: str, reason: str) -> WeightsError:
    """The refusal of weights that are neither cached nor reachable."""
    return WeightsError(
        f"Pretrained weights must be in the local cache or within reach, but {what} is neither ({reason}). "
        "Download the file where there is a network and use --weights FILE."
    )


def _cached_like(name: str) -> bool:
    hugging_face = Path(constants.HF_HUB_CACHE)
    # As torch.hub finds it; asking torch would take its import.
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    checkpoints = Path(os.getenv("TORCH_HOME", f"{cache}/torch")).expanduser() / "hub" / "checkpoints"
    return any(hugging_face.glob(f"models--*--{name}*")) or any(checkpoints.glob(f"{name}*"))
