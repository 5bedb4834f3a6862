"""What an action means, by name."""

from typing import Literal, get_args

from automl.core.errors import InputError
from envs.episode import DirectEpisode, Episode, ResidualEpisode
from envs.layout import Layout

Mode = Literal["residual", "direct"]


def new_episode(layout: Layout, mode: Mode) -> Episode:
    """An episode at its start."""
    return ResidualEpisode(layout) if mode == "residual" else DirectEpisode(layout)


def find_mode(name: str) -> Mode:
    """The mode called `name`.

    Raises:
        InputError: If there is none.
    """
    for mode in get_args(Mode):
        if mode == name:
            found: Mode = mode
            return found
    raise InputError(f"The actions of an agent are {' or '.join(get_args(Mode))}, but got {name!r}.")
