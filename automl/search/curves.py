"""Curves of a search and of its trainings as TensorBoard shows them."""

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from automl.core.errors import InputError

Log = Callable[[Mapping[str, float], int], None]
"""(name of a curve -> value, number of completed trials or of epochs)."""


def silent(values: Mapping[str, float], step: int) -> None:
    """The log of a search that nobody looks at."""


def refuse_without_tensorboard() -> None:
    """Raises `InputError`, which names the package, where the package `tensorboard` is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise InputError(
            "`--tensorboard` needs the package tensorboard, which is not installed. "
            "Install it with `pip install tensorboard`, or leave the option out."
        )


@contextmanager
def curves(folder: Path | None) -> Iterator[Log]:
    """Writes what it is told to event files in `folder`; to nowhere where that is None.

    What goes on adds a file; points that it repeats stand in for the older ones.
    """
    if folder is None:
        yield silent
        return
    from torch.utils.tensorboard import SummaryWriter  # of the extra

    with SummaryWriter(str(folder)) as writer:

        def write(values: Mapping[str, float], step: int) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, step)

        yield write
