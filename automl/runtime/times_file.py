"""CSV files of another tool's times: columns `network` and `ms`, where there are any also `layer` and `run`.

Of the runs of a layer, or of a whole network, the least counts: whatever else a device does only takes time.
"""

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from automl.core.errors import InputError
from automl.core.limits import LEAST_MS, MOST_MS
from automl.runtime.table_times import NetworkTime, TableTimes
from automl.store.files import read_text

_NEEDED, _OPTIONAL = ("network", "ms"), ("layer", "run")
_NETWORK = re.compile(r"(?:models/)?([0-9]{1,6})(?:\.onnx)?")


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the file."""

    line: int
    """Where it ends, from 1."""
    network: int
    layer: str
    """Empty for a whole network."""
    run: str | None
    """None where the file does not say."""
    ms: float


def read_times(path: Path, networks: int) -> TableTimes:
    """Reads the times of all networks of a pack.

    Args:
        path: The CSV file, in UTF-8.
        networks: How many networks the pack has.

    Raises:
        InputError: If it is no such file, or a network is unknown or without a time.
    """
    found: dict[int, dict[str, float]] = {}
    seen: set[tuple[int, str, str]] = set()
    for row in _rows(path):
        if row.network >= networks:
            raise InputError(
                f"`--times` must be about the networks of the pack, 0 to {networks - 1}, but {path} has network "
                f"{row.network} in line {row.line}. Name each by the number of its file, models/N.onnx, or give the "
                "pack that the times are of."
            )
        if row.run is not None and (row.network, row.layer, row.run) in seen:
            raise InputError(
                f"A layer must have one time in each run, but {path} repeats {row.layer or 'network'!r} of network "
                f"{row.network} in line {row.line}. Add the times up if the layer is called more than once in a run; "
                "number the runs if they are several."
            )
        seen.add((row.network, row.layer, row.run or ""))
        least = found.setdefault(row.network, {})
        least[row.layer] = min(row.ms, least.get(row.layer, math.inf))
    missing = [number for number in range(networks) if number not in found]
    if missing:
        named = ", ".join(map(str, missing[:5])) + (" and others" if len(missing) > 5 else "")
        raise InputError(
            f"Every network of the pack must have a time, but in {path} there is none of {named} ({len(missing)} of "
            f"{networks}). Time models/{missing[0]}.onnx as well."
        )
    return TableTimes(tuple(_time_of(path, number, found[number]) for number in range(networks)))


def _time_of(path: Path, number: int, least: Mapping[str, float]) -> NetworkTime:
    if "" not in least:
        return least
    if len(least) > 1:
        raise InputError(
            f"A network must have either one time or times of layers, but in {path} network {number} has both. Leave "
            "the rows without a layer out, or all others."
        )
    return least[""]


def _rows(path: Path) -> Iterator[_Row]:
    try:
        text = read_text(path).removeprefix("\ufeff")
    except (OSError, ValueError) as error:
        raise InputError(f"`--times` must be a readable CSV file in UTF-8, but {path} is not: {error}.") from error
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        names = [cell.strip().lower() for cell in next(reader, [])]
        _check_columns(path, names)
        for cells in reader:
            if cells:
                yield _row(path, reader.line_num, names, cells)
    except csv.Error as error:
        raise InputError(
            f"`--times` must be a readable CSV file in UTF-8, but {path} is not: {error}, in line {reader.line_num}. "
            "Write it with commas between the cells."
        ) from error


def _check_columns(path: Path, names: list[str]) -> None:
    known = (*_NEEDED, *_OPTIONAL)
    repeated = [name for name in known if names.count(name) > 1]
    if repeated or not set(_NEEDED) <= set(names):
        wrong = f"repeats {repeated[0]}" if repeated else f"starts with {','.join(names)[:80]!r}"
        raise InputError(
            f"`--times` must have the columns {' and '.join(_NEEDED)}, and may have {' and '.join(_OPTIONAL)}, but "
            f"{path} {wrong}. Name them in the first line, with commas between them."
        )


def _row(path: Path, line: int, names: list[str], cells: list[str]) -> _Row:
    if len(cells) != len(names):
        raise InputError(
            f"A row of `--times` must have a cell for each of the {len(names)} columns, but line {line} of {path} has "
            f"{len(cells)}. Write the file anew; a decimal point is a point."
        )
    row = {name: cell.strip() for name, cell in zip(names, cells, strict=True)}
    network = _NETWORK.fullmatch(row["network"])
    if network is None:
        raise InputError(
            f"A network of `--times` must be a number of the pack, but line {line} of {path} has {row['network']!r}. "
            "Write N, N.onnx or models/N.onnx."
        )
    return _Row(line, int(network[1]), row.get("layer", ""), row.get("run"), _ms(path, line, row["ms"]))


def _ms(path: Path, line: int, text: str) -> float:
    try:
        ms = float(text)
    except ValueError:
        ms = math.nan
    if not LEAST_MS <= ms <= MOST_MS:
        raise InputError(
            f"A time must be a number of milliseconds above 0, but line {line} of {path} has {text!r}. Time it again; "
            "a layer that is too fast for the clock can be left out in every network."
        )
    return ms
