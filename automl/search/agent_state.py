"""The files from which an agent goes on as if nothing had happened."""

import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from automl.core.decode import decoded
from automl.core.errors import RunError
from automl.store.files import write_bytes

_FORMAT = "automl-agent/1"
_KEPT = 2
"""Files: the newest, and the one before it, should the newest be damaged."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AgentState:
    """An agent between two episodes. Random numbers need no place here: each round's follow from the seed."""

    identity: Mapping[str, Any]
    """What must be equal for an agent to go on: algorithm, hyper-parameters, seed, what it sees."""
    learned: int
    """Completed trials that it has learned from."""
    history: str
    """Digest of their policies, in order."""
    warmup: int
    """Episodes of random actions, as settled when the agent was made."""
    learner: Mapping[str, Any]
    """What `Learner.state` gave."""


def write_state(folder: Path, state: AgentState) -> None:
    """Writes a file of its own for this number of trials, whole at any instant, and deletes all but the last two.

    Raises:
        RunError: If the disk is full or cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    content = {name: getattr(state, name) for name in AgentState.__slots__}
    torch.save({"format": _FORMAT, **content}, buffer)
    write_bytes(folder / f"agent-{state.learned:06d}.pt", buffer.getvalue())
    for path in _files(folder)[_KEPT:]:
        path.unlink(missing_ok=True)


def read_states(folder: Path, identity: Mapping[str, Any]) -> list[AgentState]:
    """The states that are whole, the newest first.

    Args:
        folder: Where `write_state` wrote.
        identity: That of the agent that goes on.

    Raises:
        RunError: If a whole one belongs to an agent with other settings (what differs is named).
    """
    found = []
    for path in _files(folder):
        try:
            state = _read(path)
        except Exception as error:  # damaged bytes make the readers raise anything
            _log.warning("The agent's state %s is damaged (%s); an older one is used.", path, error)
            continue
        _refuse_another(path, state.identity, identity)
        found.append(state)
    return found


def _files(folder: Path) -> list[Path]:
    """The newest first."""
    return sorted(folder.glob("agent-*.pt"), reverse=True)


def _read(path: Path) -> AgentState:
    content = torch.load(path, map_location="cpu", weights_only=True)
    if content["format"] != _FORMAT:
        raise ValueError(f"its format is {content['format']!r} instead of {_FORMAT!r}")
    identity, learner = content["identity"], content["learner"]
    if not isinstance(identity, dict) or not isinstance(learner, dict):
        raise ValueError("it says neither whose it is nor what was learned")
    learned, warmup = decoded(int, content["learned"]), decoded(int, content["warmup"])
    return AgentState(identity, learned, decoded(str, content["history"]), warmup, learner)


def _refuse_another(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    names = dict.fromkeys([*wanted, *found])
    differing = [n for n in names if found.get(n) != wanted.get(n)]
    if differing:
        said = ", ".join(f"{name} was {found.get(name)!r} and is {wanted.get(name)!r}" for name in differing)
        raise RunError(
            f"An agent goes on only with the settings it began with, but {path} is of another: {said}. "
            f"Set them back, or delete {path.parent} to let a new agent learn from the trials so far."
        )
