"""What is timed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal, get_args

from automl.core.errors import InputError

Precision = Literal["fp32", "int8"]


class Runtime(StrEnum):
    """What runs networks on a device, by the name of its Python package."""

    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    OTHER = "other"
    """Any that we do not run ourselves; times of it come from its own tool."""

    @property
    def label(self) -> str:
        """As its makers write it."""
        labels = {Runtime.ONNXRUNTIME: "ONNX Runtime", Runtime.OPENVINO: "OpenVINO", Runtime.OTHER: "another runtime"}
        return labels[self]


def find_runtime(name: str) -> Runtime:
    """The runtime called `name`; raises `InputError` where there is none that we run."""
    ours = [each for each in Runtime if each is not Runtime.OTHER]
    if name not in ours:
        raise InputError(f"`--runtime` must be one of {', '.join(ours)}, but got {name!r}.")
    return Runtime(name)


def runtime_called(name: str) -> Runtime:
    """The runtime of this name; `OTHER` where we do not run it."""
    return Runtime(name) if name in list(Runtime) else Runtime.OTHER


@dataclass(frozen=True, slots=True)
class Target:
    """What times are about: one architecture, input, precision, number of threads and runtime."""

    arch: str
    """Model spec."""
    graph: str
    """Digest of the traced network."""
    input: tuple[int, int, int]
    """(channels, height, width) of one image."""
    precision: Precision
    """Of the arithmetic of every layer that has integer kernels."""
    threads: int
    """CPU threads of one call."""
    runtime: Runtime = Runtime.ONNXRUNTIME

    def to_json(self) -> dict[str, Any]:
        """Part of a pack and of a device profile."""
        return {**asdict(self), "input": list(self.input), "runtime": {"name": self.runtime.value}}

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> "Target":
        """Reads what `to_json` gave; raises `KeyError`, `TypeError` or `ValueError` where something is missing."""
        channels, height, width = (int(size) for size in table["input"])
        precision = next((each for each in get_args(Precision) if each == table["precision"]), None)
        if precision is None:
            raise ValueError(f"the precision is {table['precision']!r}")
        size = (channels, height, width)
        runtime = runtime_called(str(table["runtime"]["name"]))
        return cls(str(table["arch"]), str(table["graph"]), size, precision, int(table["threads"]), runtime)
