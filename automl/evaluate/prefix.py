"""Starts a network where it first differs from the dense one, with outputs that the dense one left there.

A sensitivity table narrows one group at a time, so that all in front of the group is the dense network still: on
average half of the work.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

MOST_BYTES = 2 * 2**30
"""Outputs that are kept take at most this much memory; where they would take more, none are kept."""


@dataclass(slots=True)
class _Passage:
    """One module's part in a forward pass."""

    first: int
    """Number of the first call within it, in the order of the pass."""
    last: int = -1
    """Number of the last call within it."""
    calls: int = 0
    outputs: list[Tensor] = field(default_factory=list)
    """One per batch."""
    versions: list[int] = field(default_factory=list)
    """How often each output had been written when the module returned it."""


class PrefixCache:
    """Outputs of the dense network's blocks on fixed batches."""

    def __init__(self, model: nn.Module, batches: Sequence[Tensor]) -> None:
        """Runs the dense network once.

        Args:
            model: In eval mode; comes back unchanged.
            batches: Images on the model's device.
        """
        self._order: dict[str, int] = {}
        self._blocks: dict[str, _Passage] = {}
        for name, passage in _watched(model, batches).items():
            self._order[name] = passage.first
            if passage.outputs and _untouched(passage, len(batches)):
                self._blocks[name] = passage
        if _bytes(self._blocks.values()) > MOST_BYTES:
            self._blocks.clear()

    def shortened(self, smaller: nn.Module, changed: Iterable[str]) -> nn.Module:
        """Lets `smaller` replay what the dense network computed before the first changed module.

        Args:
            smaller: From `slim`; its blocks are replaced in place. It then answers the cache's batches, in their
                order, once.
            changed: Paths of the modules whose weights are not the dense ones.
        """
        start = min((self._order[name] for name in changed if name in self._order), default=0)
        ready = [name for name, passage in self._blocks.items() if passage.last < start]
        for name in _outermost(ready):
            parent, _, child = name.rpartition(".")
            setattr(smaller.get_submodule(parent), child, _Replay(self._blocks[name].outputs))
        return smaller


class _Replay(nn.Module):
    """Returns what was computed before, batch after batch."""

    def __init__(self, outputs: Sequence[Tensor]) -> None:
        super().__init__()
        self._next: Iterator[Tensor] = iter(outputs)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The next batch's output, whatever the inputs."""
        return next(self._next)


def _watched(model: nn.Module, batches: Sequence[Tensor]) -> dict[str, _Passage]:
    """How each module took part in a pass over `batches`; outputs only of blocks."""
    passages: dict[str, _Passage] = {}
    clock = 0
    blocks = {
        name for name, module in model.named_modules() if name and ("." not in name or len(list(module.children())))
    }

    def enter(name: str) -> None:
        nonlocal clock
        clock += 1
        passages.setdefault(name, _Passage(clock))

    def leave(name: str, output: object) -> None:
        passage = passages[name]
        passage.calls += 1
        if passage.calls == 1:
            passage.last = clock
        if name in blocks and isinstance(output, Tensor):
            passage.outputs.append(output)
            passage.versions.append(output._version)

    hooks = []
    for name, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda _, __, name=name: enter(name)))
        hooks.append(module.register_forward_hook(lambda _, __, output, name=name: leave(name, output)))
    try:
        with torch.no_grad():  # not inference mode, whose tensors do not say how often they were written
            for batch in batches:
                model(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return passages


def _untouched(passage: _Passage, batches: int) -> bool:
    """Whether the module ran once per batch and nothing wrote to its outputs afterwards."""
    same = [output._version == version for output, version in zip(passage.outputs, passage.versions, strict=True)]
    return passage.calls == batches == len(same) and all(same)


def _outermost(names: Iterable[str]) -> list[str]:
    chosen: list[str] = []
    for name in sorted(names):
        if not any(name.startswith(f"{each}.") for each in chosen):
            chosen.append(name)
    return chosen


def _bytes(passages: Iterable[_Passage]) -> int:
    storages = {tensor.untyped_storage().data_ptr(): tensor.nbytes for each in passages for tensor in each.outputs}
    return sum(storages.values())
