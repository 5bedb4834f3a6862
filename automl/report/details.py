"""What a report tells beside result and trials; kept with the run, so that it can be rendered without the data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from automl.core.decode import decoded
from automl.core.errors import RunError
from automl.store.files import read_json, write_json

FORMAT = "automl-report/1"
TimedAs = Literal["profile", "candidate", "result"]


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer of the network, dense and compressed."""

    layer: str
    """Its path in the network."""
    kind: str
    """`conv`, `depthwise` or `linear`."""
    group: str | None
    """Channel group of its outputs; None where they are fixed or of several groups."""
    outputs: tuple[int, int]
    """Output channels, dense and kept; 0 are kept where the branch was dropped."""
    inputs: tuple[int, int]
    """Input channels, dense and kept."""
    macs: tuple[int, int]
    """Multiply-adds per image, dense and kept."""
    weight_bits: int
    """32 is float."""
    activation_bits: int
    """Of what it reads; 32 is float."""
    latency_ms: tuple[float, float] | None
    """Milliseconds, dense and kept, as the device's profile predicts them; None where no device is known."""
    loss_at_half: float | None
    """Nats that the network loses where its channel group alone is halved, by the sensitivity table; told where the
    group begins, None elsewhere."""
    loss_as_chosen: float | None
    """The same where the group alone is as narrow as the policy has it."""


@dataclass(frozen=True, slots=True)
class TimedNetwork:
    """A network whose latency was predicted and measured."""

    timed_as: TimedAs
    """In the device's profile, which predictions are fitted to; as a candidate; or as the exported file."""
    predicted_ms: float
    measured_ms: float


@dataclass(frozen=True, slots=True)
class Example:
    """A test image that the dense and the compressed network answer differently."""

    index: int
    """In the test set."""
    png: str
    """The image, in base64."""
    label: str | None
    """Its class; None where it has no label."""
    dense: str
    """The class that the dense network names."""
    compressed: str
    """The class that the exported one names."""


@dataclass(frozen=True, slots=True)
class Details:
    """Beside `metrics.json` and the trials."""

    policy: str
    """Digest of the policy that they are of."""
    layers: tuple[LayerRow, ...]
    """In the order of their first call."""
    timed: tuple[TimedNetwork, ...]
    """Empty where no latency is limited."""
    examples: tuple[Example, ...]
    """A few, evenly over all test images that are answered differently."""

    def to_json(self) -> dict[str, Any]:
        """The layout of `state/report.json`."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Details":
        """Reads what `to_json` gave; raises `KeyError`, `TypeError` or `ValueError` on anything else."""
        if value["format"] != FORMAT:
            raise ValueError(f"the format is {value['format']!r}")
        return decoded(cls, {name: each for name, each in value.items() if name != "format"})


def write_details(path: Path, details: Details) -> None:
    """Writes `details` as JSON; raises `RunError` where the disk refuses."""
    write_json(path, details.to_json())


def read_details(path: Path) -> Details:
    """Reads what `write_details` wrote; raises `RunError` where the file is missing, damaged or of another format."""
    try:
        return Details.from_json(read_json(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"What a report is made of must be readable, but {path} is not ({error}). Write it anew with "
            "`automl resume`, or delete it to do without."
        ) from error
