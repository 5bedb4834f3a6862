"""`channels.json`: the widths of a policy as AMC lists them."""

import json
from pathlib import Path

from automl.core.graph import ModelGraph
from automl.core.policy import CompressionPolicy
from automl.store.files import write_text
from search_spaces.amc import amc_channels


def write_channels(path: Path, graph: ModelGraph, policy: CompressionPolicy) -> None:
    """Writes the list on one line, whole or not at all; where none says what `policy` does, no file is left at `path`.

    Args:
        path: The file to write.
        graph: The network at full width.
        policy: A policy for it; its bit-widths are left out.

    Raises:
        RunError: If the disk refuses.
    """
    channels = amc_channels(graph, policy)
    if channels is None:
        path.unlink(missing_ok=True)  # of the policy that was exported here before
    else:
        write_text(path, json.dumps(channels) + "\n")
