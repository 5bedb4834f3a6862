"""Data sets by name."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from automl.core.errors import DataError
from automl.core.user_code import names_code
from automl.data import clutter, digits, image_folder, torchvision_sets
from automl.data.factory import open_factory
from automl.data.source import Request, Source


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """One row of `automl datasets`."""

    name: str
    """As `open_source` takes it; capitals stand for what the user fills in."""
    description: str
    size: int | None
    """Height and width in pixels where the user gives none; None where the images decide."""


DATASETS = (
    DatasetInfo("digits", "1,797 handwritten digits, embedded in scikit-learn", digits.NATURAL_SIZE),
    DatasetInfo(
        "synthetic:clutter", "textured letters among distractors, drawn on the spot; ?images=N", clutter.NATURAL_SIZE
    ),
    DatasetInfo(
        "imagefolder:DIR", "your images, by class folder, with or without train/ and val/", image_folder.NATURAL_SIZE
    ),
    *(
        DatasetInfo(f"torchvision:{name}?root=DIR", f"{name} from torchvision's files in DIR", entry.size)
        for name, entry in torchvision_sets.SMALL_SETS.items()
    ),
    DatasetInfo("torchvision:ImageNet?root=DIR", "ILSVRC2012 from its archives in DIR", image_folder.NATURAL_SIZE),
    DatasetInfo("pkg.mod:factory", "your function that returns (train, test) data sets", None),
)
"""What `open_source` can open."""


def open_source(spec: str, request: Request) -> Source:
    """Opens a data set as a whole.

    Args:
        spec: One of `DATASETS`, its capitals filled in.
        request: Size and channels of the images, and how many.

    Raises:
        DataError: If the name is unknown (the nearest ones are offered) or the data cannot be read.
    """
    kind, _, rest = spec.partition(":")
    if kind == "imagefolder" and rest:
        return image_folder.open_image_folder(rest, request)
    name, _, query = spec.partition("?")
    openers: Mapping[str, Callable[[], Source]] = {
        "digits": lambda: _open_digits(spec, query, request),
        "synthetic:clutter": lambda: _open_clutter(spec, query, request),
    }
    if name in openers:
        return openers[name]()
    if kind == "torchvision" and rest:
        root = _options(spec, query, {"root"}).get("root", torchvision_sets.DEFAULT_ROOT)
        return torchvision_sets.open_torchvision(name.partition(":")[2], root, request)
    if names_code(spec):
        return open_factory(spec, request)
    raise DataError(f"A data set must be one that we can open, but {spec!r} is not. {_did_you_mean(spec)}")


def _open_digits(spec: str, query: str, request: Request) -> Source:
    _options(spec, query, set())
    return digits.open_digits(request)


def _open_clutter(spec: str, query: str, request: Request) -> Source:
    images = _options(spec, query, {"images"}).get("images", str(clutter.IMAGES))
    if not images.isdecimal():
        raise DataError(f"images= must be a whole number, but {spec!r} says {images!r}.")
    return clutter.open_clutter(int(images), request)


def _options(spec: str, query: str, known: set[str]) -> dict[str, str]:
    """The options after `?`. Not parsed as a URL: a folder may have `+` or `%` in its name."""
    options = {}
    for part in query.split("&") if query else []:
        key, _, value = part.partition("=")
        if key not in known or not value:
            ways = ", ".join(f"{name}=..." for name in sorted(known)) or "none"
            raise DataError(f"After `?` {spec!r} may have these options: {ways}; but it has {part!r}.")
        options[key] = value
    return options


def _did_you_mean(spec: str) -> str:
    if spec and Path(spec).is_dir():
        return f"It is a folder: write imagefolder:{spec}."
    names = [info.name for info in DATASETS]
    bare = {name.partition("?")[0]: name for name in names}
    bare |= {name.rpartition(":")[2]: full for name, full in list(bare.items())}
    lowered = {name.lower(): full for name, full in bare.items()}
    close = difflib.get_close_matches(spec.partition("?")[0].lower(), list(lowered), n=3)
    near = list(dict.fromkeys(lowered[name] for name in close))
    return f"Did you mean {', '.join(near)}?" if near else f"Write one of {', '.join(names)}."
