"""What a run was asked to do, and its TOML file."""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from automl.core.budget import Budget
from automl.core.budget_range import budgets
from automl.core.errors import InputError
from automl.store.files import read_text

_MOST_CHARACTERS = 2**15
"""Of a file of settings, which has some hundreds: dotted keys take the square of their number to read."""


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything that a run can be asked for; the command line only overrides it.

    Raises:
        InputError: If a text is none that a file can hold.
    """

    model: str
    """Model spec: `timm:NAME`, `torchvision:NAME`, a built-in name, or `pkg.mod:factory`."""
    data: str
    """Data spec: `digits`, `imagefolder:DIR`, `torchvision:NAME?root=DIR`, `synthetic:clutter`, `pkg.mod:factory`."""
    budget: tuple[str, ...]
    """Limits such as `0.25flops` or `2MB`; all of them hold. None are needed beside a range."""
    weights: str | None = None
    """Weights file; None trains a baseline on the data."""
    input_size: int | None = None
    """Height and width of the images in pixels; None takes the model's own."""
    engine: str = "auto"
    """Search engine, a name that `automl engines` lists."""
    agent: str | None = None
    """Settings of an engine that learns by reinforcement, such as `reward=kl,noise=0.2`."""
    trials: int = 40
    """Policies to evaluate in all, resumed ones included; at least 1."""
    time_s: float | None = None
    """Wall time that the search may take, in seconds; None for no limit."""
    seed: int = 0
    """Seed of the splits, the training and the search."""
    device: str = "auto"
    """Where the search computes: `auto`, `cpu` or `cuda`."""
    channel_multiple: int | None = None
    """Kept channels are multiples of this; None chooses it by the width of the model."""
    min_keep: float = 0.0
    """Share of every group's channels that always stays, in [0, 1]."""
    epochs: int | None = None
    """Epochs of the baseline; None chooses them by the data."""
    finetune_epochs: int | None = None
    """Epochs of the fine-tuning; None chooses them by the data, 0 skips it."""
    target: str | None = None
    """Profile of the device that latency budgets are about, a `device.json`; None takes this machine."""
    threads: int = 1
    """CPU threads of a call whose latency counts; at least 1."""
    runtime: str = "onnxruntime"
    """What latencies are those of: `onnxruntime` or `openvino`."""
    bits: str | None = None
    """Bit-widths that layers may have, such as `4,8` or `w2-8a8`; None leaves the network in float."""
    first_last_bits: int = 8
    """Bits of weights and inputs of the first and the last layer."""
    tensorboard: bool = False
    """Whether the curves of search and training are written for TensorBoard."""
    importance: str = "obs"
    """How channels are ranked: `obs`, `l1`, `l2`, `taylor`, `bn` or `random`."""
    storage: str | None = None
    """Database that several workers share, a URL without password; None for a file in the run's folder."""
    trial_time_s: float | None = None
    """Wall time that one trial may take, in seconds; None for half an hour."""
    limit: int | None = None
    """Most images of the data set that are used; None for all."""
    pareto: str | None = None
    """Range of budgets that trials are held to in turn, such as `flops:0.15..0.6`; None searches one budget."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            for text in value if isinstance(value, tuple) else (value,):
                if isinstance(text, str) and re.search("[\0\ud800-\udfff]", text):  # no file can hold these
                    raise InputError(f"`{each.name}` must be UTF-8 text without zeros, but got {text!r}. Rename it.")

    @property
    def asked(self) -> tuple[str, ...]:
        """The range of budgets, where there is one, and the limits, as they were written."""
        return self.budget if self.pareto is None else (self.pareto, *self.budget)

    @property
    def levels(self) -> tuple[Budget, ...]:
        """What trials are held to in turn, the tightest first; one budget where there is no range.

        Raises:
            BudgetError: If a text does not parse, or the range and a limit are of one metric.
        """
        return budgets(self.budget, self.pareto)


def to_toml(config: RunConfig) -> str:
    """The settings as TOML; a setting that is None is left out."""
    values = asdict(config)
    return "".join(f"{name} = {_literal(value)}\n" for name, value in values.items() if value is not None)


def from_toml(text: str, source: str = "The configuration") -> RunConfig:
    """Reads what `to_toml` wrote, or a user's own file.

    Args:
        text: TOML; `model`, `data` and `budget` are required.
        source: Name of the file, for the messages.

    Raises:
        InputError: If it is not TOML, a setting is unknown or missing, or a value has the wrong type.
    """
    values = read_settings(text, source)
    missing = [name for name in ("model", "data", "budget") if name not in values]
    if missing:
        raise InputError(f"{source} must say `{missing[0]}`, but does not. Add `{missing[0]} = ...`.")
    return RunConfig(**values)


def read_settings(text: str, source: str) -> dict[str, Any]:
    """Some settings from TOML, checked, for a file that leaves the others to the command line.

    Args:
        text: TOML.
        source: Name of the file, for the messages.

    Returns:
        Field of `RunConfig` -> value; only what the text says.

    Raises:
        InputError: If it is not TOML, a setting is unknown, or a value has the wrong type.
    """
    if len(text) > _MOST_CHARACTERS:
        raise InputError(
            f"{source} must be settings of at most {_MOST_CHARACTERS:,} characters, but has {len(text):,}."
        )
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} must be TOML, but is not: {error}. Correct the line.") from error
    return typed_settings(table, source)


def typed_settings(table: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Some settings from a table of any values, checked.

    Args:
        table: Setting -> value.
        source: Whose they are, for the messages.

    Returns:
        Field of `RunConfig` -> value, lists as tuples; only what the table says.

    Raises:
        InputError: If a setting is unknown, or a value has the wrong type.
    """
    _refuse_unknown(table, source)
    hints = get_type_hints(RunConfig)
    return {name: _typed(name, value, hints[name], source) for name, value in table.items()}


def load_config(path: Path) -> RunConfig:
    """Reads a TOML file; raises `InputError` where it cannot be read or breaks a rule of `from_toml`."""
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise InputError(f"A configuration file must be readable UTF-8 text, but {path} is not: {error}.") from error
    return from_toml(text, str(path))


def _refuse_unknown(table: Mapping[str, Any], source: str) -> None:
    known = [field.name for field in fields(RunConfig)]
    for name in table:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            way_out = f"Did you mean `{near[0]}`?" if near else f"There are: {', '.join(known)}."
            raise InputError(f"Every setting must be known, but {source} says `{name}`. {way_out}")


def _typed(name: str, value: Any, hint: Any, source: str) -> Any:
    accepted = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if get_origin(hint) is tuple and isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if type(value) in accepted:  # `isinstance` would take a bool for an int
        return value
    if float in accepted and type(value) is int:
        return float(value)
    wanted = "a list of texts" if get_origin(hint) is tuple else accepted[0].__name__
    raise InputError(f"`{name}` in {source} must be {wanted}, but got {value!r}. Correct the value.")


def _literal(value: str | int | float | tuple[str, ...]) -> str:
    if isinstance(value, str):
        # TOML has JSON's escapes, but unlike JSON it wants DEL escaped too.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_literal(item) for item in value)}]"
    return repr(value)
