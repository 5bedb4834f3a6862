"""From what was asked, in options or arguments, and a TOML file to the settings of a run."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from automl.core.bits import INT8
from automl.core.budget_range import TRIALS_PER_LEVEL
from automl.core.errors import InputError
from automl.core.paths import at_home
from automl.models.reach import refuse_unreachable
from automl.store.config import RunConfig, read_settings, typed_settings
from automl.store.files import read_text

DEFAULT_MODEL = "cifar_resnet20"
DEFAULT_DATA = "digits"
PRETRAINED = "pretrained"
_FOLDER = "imagefolder:"


def resolved(file: Path | None, given: Mapping[str, Any], *, needs_budget: bool = True) -> RunConfig:
    """The defaults, overridden by the file, overridden by what was asked; paths made absolute, so that runs can move.

    A password in the URL of a database goes to the environment.

    Args:
        file: TOML with any setting of `RunConfig`.
        given: Setting -> value; None where nothing was asked.
        needs_budget: Whether a missing budget is refused.

    Raises:
        InputError: If the file cannot be read or breaks a rule, a value has the wrong type, no budget is given or it
            does not parse, a range of budgets has too few trials, the storage is no URL, or pretrained weights are out
            of reach.
    """
    values: dict[str, Any] = {"model": DEFAULT_MODEL, "data": DEFAULT_DATA}
    if file is not None:
        try:
            text = read_text(file)
        except (OSError, ValueError) as error:
            raise InputError(f"`--config` must name a readable UTF-8 file, but {file} is not: {error}.") from error
        values |= read_settings(text, str(file))
    values |= typed_settings({name: value for name, value in given.items() if value is not None}, "this call")
    if "pareto" in values:
        values.setdefault("budget", ())
    elif not needs_budget:
        values.setdefault("budget", ("1flops",))
    if "budget" not in values:
        raise InputError("A search needs a budget. Give one, such as `--budget 0.25flops`.")
    config = _without_password(_with_absolute_paths(RunConfig(**values)))
    # Refused here already, because what comes next imports torch for seconds.
    _check_levels(config)
    if config.weights == PRETRAINED:
        refuse_unreachable(config.model)
    return config


def bits_of(precision: str | None, bits: str | None) -> str | None:
    """The bit-widths that `--precision` and `--bits` ask for together.

    Raises:
        InputError: If the precision is unknown, or contradicts the bits.
    """
    if precision not in (None, "fp32", "int8"):
        raise InputError(f"`--precision` must be fp32 or int8, but got {precision!r}. `--bits` searches other widths.")
    if precision == "fp32" and bits is not None:
        raise InputError(f"A network in fp32 has no bit-widths, but got `--bits {bits}`. Leave one of them out.")
    return INT8 if precision == "int8" and bits is None else bits


def _check_levels(config: RunConfig) -> None:
    levels = len(config.levels)
    if levels > 1 and config.trials < levels * TRIALS_PER_LEVEL:
        raise InputError(
            f"`--pareto` holds trials to {levels} budgets in turn and needs {levels * TRIALS_PER_LEVEL} of them, but "
            f"got `--trials {config.trials}`. Ask for more (8 for each budget are usual), or search one `--budget`."
        )


def _without_password(config: RunConfig) -> RunConfig:
    if config.storage is None:
        return config
    from automl.store.password import to_environment  # SQLAlchemy takes a tenth of a second

    return replace(config, storage=to_environment(config.storage))


def _with_absolute_paths(config: RunConfig) -> RunConfig:
    weights, data, target = config.weights, config.data, config.target
    if target is not None:
        target = str(at_home(target).absolute())
    if weights not in (None, PRETRAINED):
        weights = str(at_home(str(weights)).absolute())
    if data.startswith(_FOLDER) and data != _FOLDER:
        data = _FOLDER + str(at_home(data.removeprefix(_FOLDER)).absolute())
    return replace(config, weights=weights, data=data, target=target)
