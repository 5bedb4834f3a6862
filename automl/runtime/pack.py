"""A pack: networks to be timed, and the program that does it on any machine with numpy and the runtime."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import onnx

from automl.runtime.device_profile import FORMAT
from automl.runtime.target import Target

_MOST_BYTES = 1 << 29
"""Of the weights of the networks that are open at the same time."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How to time."""

    calls: int = 2
    """Calls of a network in each round; one more before them does not count."""
    batch_s: float = 3.0
    """How long a batch of networks takes, in seconds, within the bounds of the rounds."""
    repeats: int = 5
    """How often each batch is opened anew: where a network's weights lie in memory makes some percent of its time."""
    anchors: int = 4
    """How often the anchor is open in a batch, for the same reason: all other times are relative to it."""
    least_rounds: int = 8
    most_rounds: int = 256


@dataclass(frozen=True, slots=True)
class Pack:
    """Networks to be timed."""

    target: Target
    policies: tuple[Mapping[str, int], ...]
    """For each network the channels of every group; the first is the dense network, which is the anchor."""
    reference: int
    """Number of the dense network in float, which fractions of the latency refer to."""
    weights: tuple[int, ...]
    """Bytes of each network's weights once it is open."""
    protocol: Protocol = Protocol()

    @property
    def batches(self) -> list[list[int]]:
        """The networks that are open at the same time, the anchor among them, once for each repeat."""
        anchors = [0] * self.protocol.anchors
        batches = [list(anchors)]
        for number in range(1, len(self.policies)):
            full = sum(self.weights[each] for each in (*batches[-1], number)) > _MOST_BYTES
            if full and len(batches[-1]) > len(anchors):
                batches.append(list(anchors))
            batches[-1].append(number)
        return batches * self.protocol.repeats


def write_pack(path: Path, pack: Pack, graphs: Sequence[onnx.ModelProto]) -> None:
    """Writes a zip file that runs as `python pack.zip device.json`.

    Args:
        path: The file.
        pack: What the graphs are.
        graphs: One for each policy of `pack`.
    """
    runner = files("automl.runtime").joinpath("runner.py").read_text(encoding="utf-8")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__main__.py", runner)
        archive.writestr("pack.json", json.dumps(_content(pack)))
        for number, graph in enumerate(graphs):
            archive.writestr(f"models/{number}.onnx", graph.SerializeToString())


def _content(pack: Pack) -> dict[str, Any]:
    return {
        "format": FORMAT,
        **pack.target.to_json(),
        "policies": [dict(policy) for policy in pack.policies],
        "reference": pack.reference,
        "protocol": asdict(pack.protocol),
        "batches": pack.batches,
    }
