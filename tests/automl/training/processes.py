"""Runs a function in two processes that are one team, as `torchrun` would."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.distributed import FileStore  # type: ignore[attr-defined]

from automl.core.errors import LostProcessError
from automl.training.team import Team, joined

_TIMEOUT_S = 120
CPU = torch.device("cpu")


def in_two(function: Callable[..., Any], folder: Path, *arguments: Any) -> list[Any]:
    """What `function(team, *arguments)` returned in each process: tensors and plain values; None where it lost others.

    Args:
        function: Of a module, so that the other process finds it.
        folder: An empty one.
        arguments: For the function.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, function.__module__])
    members = [context.Process(target=_member, args=(rank, folder, function, arguments)) for rank in (0, 1)]
    for member in members:
        member.start()
    for member in members:
        member.join(_TIMEOUT_S)
        assert not member.is_alive()
    return [torch.load(_file(folder, rank), weights_only=True) for rank in (0, 1) if _file(folder, rank).exists()]


def _member(rank: int, folder: Path, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    try:
        with joined(FileStore(str(folder / "store"), 2), rank, 2, CPU) as team:
            torch.save(_call(team, function, arguments), _file(folder, rank))
    except LostProcessError:
        torch.save(None, _file(folder, rank))


def _call(team: Team, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return function(team, *arguments)


def _file(folder: Path, rank: int) -> Path:
    return folder / f"result-{rank}.pt"
