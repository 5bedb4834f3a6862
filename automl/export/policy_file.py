"""`policy.json`: a compression policy with what it was made for, as people and other tools read it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automl.core.bits import BitWidths
from automl.core.errors import PolicyError
from automl.core.limits import MOST_CLASSES, MOST_SIZE
from automl.core.policy import CompressionPolicy
from automl.store.files import read_json, write_json

FORMAT = "automl-policy/1"
_OPTIONAL = ("model", "input_shape", "classes", "full_channels", "bits", "digest")
_WAY_OUT = f'The least is {{"format": "{FORMAT}", "channels": {{"group": channels kept}}}}; see `automl describe`.'


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """What `policy.json` says. What a hand-written file leaves out is None or empty."""

    policy: CompressionPolicy
    """Channels kept per group, 0 for a dropped branch; bits per layer."""
    model: str | None = None
    """Model spec that builds the dense network."""
    input_shape: tuple[int, int, int] | None = None
    """(channels, height, width) of one image."""
    classes: int | None = None
    """Number of logits."""
    full_channels: Mapping[str, int] = field(default_factory=dict)
    """Channels of each group in the dense network, to read the others by."""


def write_policy(path: Path, content: PolicyFile) -> None:
    """Writes `content` as JSON, whole or not at all; raises `RunError` where the disk refuses."""
    values = content.policy.to_json()
    write_json(
        path,
        {
            "format": FORMAT,
            "model": content.model,
            "input_shape": content.input_shape,
            "classes": content.classes,
            "channels": values["channels"],
            "full_channels": dict(sorted(content.full_channels.items())),
            "bits": values["bits"],
            "digest": content.policy.digest(),
        },
    )


def read_policy(path: Path) -> PolicyFile:
    """Reads what `write_policy` wrote, or a hand-written file with at least `format` and `channels`.

    Raises:
        PolicyError: If the file cannot be read, is not JSON, is not of this format, says something unknown or of
            the wrong type, or its digest is not that of its channels and bits.
    """
    table = _table(path)
    unknown = sorted(set(table) - {"format", "channels", *_OPTIONAL})
    if unknown:
        raise _malformed(path, f"says {unknown[0]!r}, which is unknown")
    policy = CompressionPolicy(_counts(path, table, "channels", least=0), _bits(path, table))
    if table.get("digest") not in (None, policy.digest()):
        raise PolicyError(
            f"The digest of a policy file must be that of its channels and bits, but in {path} it is "
            f"{table['digest']!r} instead of {policy.digest()!r}. Undo the change, or leave the digest out."
        )
    model, classes = table.get("model"), table.get("classes")
    if not isinstance(model, str | None):
        raise _malformed(path, f"has the model {model!r}, which is no text")
    if classes is not None and not (_is_count(classes) and classes <= MOST_CLASSES):
        raise _malformed(path, f"has {classes!r} classes")
    full = _counts(path, table, "full_channels", least=1) if "full_channels" in table else {}
    return PolicyFile(policy, model, _input_shape(path, table), classes, full)


def _table(path: Path) -> dict[str, Any]:
    try:
        table = read_json(path)
    except (OSError, ValueError) as error:
        raise PolicyError(f"A policy file must be readable JSON, but {path} is not: {error}. {_WAY_OUT}") from error
    if not isinstance(table, dict):
        raise _malformed(path, "is no JSON object")
    if table.get("format") != FORMAT:
        raise _malformed(path, f"has the format {table.get('format')!r}")
    return table


def _counts(path: Path, table: Mapping[str, Any], name: str, *, least: int) -> dict[str, int]:
    counts = table.get(name)
    if not isinstance(counts, dict):
        raise _malformed(path, f"has no {name!r}" if counts is None else f"has {name!r} that is no object")
    for group, count in counts.items():
        if not _is_count(count, least):
            raise _malformed(path, f"has {count!r} for {group!r} in {name!r}, which is no count of {least} or more")
    return counts


def _bits(path: Path, table: Mapping[str, Any]) -> dict[str, BitWidths]:
    rows = table.get("bits", {})
    if not isinstance(rows, dict):
        raise _malformed(path, "has 'bits' that is no object")
    for layer, row in rows.items():
        whole = isinstance(row, dict) and set(row) == {"weight", "activation"}
        if not whole or not all(_is_count(bits) and bits <= 32 for bits in row.values()):
            raise _malformed(path, f"has the bits {row!r} for {layer!r}, which are no weight and activation of 1 to 32")
    return {layer: BitWidths(row["weight"], row["activation"]) for layer, row in rows.items()}


def _input_shape(path: Path, table: Mapping[str, Any]) -> tuple[int, int, int] | None:
    shape = table.get("input_shape")
    if shape is None:
        return None
    if (
        not isinstance(shape, list)
        or len(shape) != 3
        or not all(_is_count(size) and size <= MOST_SIZE for size in shape)
    ):
        raise _malformed(
            path, f"has the input shape {shape!r}, which is no [channels, height, width] of 1 to {MOST_SIZE}"
        )
    return shape[0], shape[1], shape[2]


def _is_count(value: object, least: int = 1) -> bool:
    return type(value) is int and value >= least  # `isinstance` would take true for 1


def _malformed(path: Path, what: str) -> PolicyError:
    return PolicyError(f"A policy file must be in the format {FORMAT!r}, but {path} {what}. {_WAY_OUT}")
