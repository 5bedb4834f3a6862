"""Published weights files: from the local cache, else downloaded, never waiting for a network that is not there."""

from pathlib import Path
from urllib.parse import urlsplit

import huggingface_hub
import torch
from huggingface_hub import constants

from automl.models.reach import PROBE_SECONDS, offline, require_host


def hugging_face_file(repository: str, filename: str) -> Path:
    """Path of one file of a Hugging Face repository in the local cache, downloaded if it is not there.

    Raises:
        WeightsError: Within about a second, if it is not cached and the host does not answer.
    """
    cached = huggingface_hub.try_to_load_from_cache(repository, filename)
    if isinstance(cached, str):
        return Path(cached)
    if constants.HF_HUB_OFFLINE:
        raise offline(f"{repository}/{filename}", "HF_HUB_OFFLINE is set")
    require_host(constants.ENDPOINT, f"{repository}/{filename}")
    try:
        return Path(str(huggingface_hub.hf_hub_download(repository, filename, etag_timeout=PROBE_SECONDS)))
    except OSError as error:  # every error of the hub is one
        raise offline(f"{repository}/{filename}", str(error)) from error


def url_file(url: str) -> Path:
    """Path of a published file in torch's cache, downloaded and held against the hash in its name if not there.

    Raises:
        WeightsError: Within about a second, if it is not cached and the host does not answer.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name
    if path.is_file():
        return path
    require_host(url, path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    stem, _, tail = path.stem.rpartition("-")
    prefix = tail if stem and len(tail) >= 8 and set(tail) <= set("0123456789abcdef") else None
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=prefix, progress=False)
    except (OSError, RuntimeError) as error:
        raise offline(path.name, str(error)) from error
    return path
