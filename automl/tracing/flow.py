"""Which operator reads what, to tell what of a forward pass still depends on the image once a layer is cut."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field

from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

_FROM_SHAPES = frozenset(
    {"empty_like", "zeros_like", "ones_like", "full_like", "new_empty", "new_zeros", "new_ones", "new_full"}
)
"""Operators that read a tensor's shape and not its values."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operator that ran."""

    operator: str
    """Name without the underscore of its in-place form, such as `add`."""
    sources: tuple[int, ...]
    """Numbers of the steps that made what it reads; only those that depend on the image."""
    parameters: frozenset[str]
    """Parameters that it reads; keys in `state_dict()`."""


@dataclass(frozen=True, slots=True)
class Joints:
    """Where what is left of the image meets what has passed through cut layers only."""

    operators: Mapping[int, str]
    """What joins the two, by the number of the step; a residual sum is `add`, a gate `mul`, a concatenation `cat`."""
    arrives: bool
    """Whether the result still depends on the image."""


@dataclass
class Flow:
    """The steps of one forward pass, in order; each comes after its sources."""

    steps: list[Step] = field(default_factory=list)
    result: int | None = None
    """Number of the step that makes the result; None where that does not depend on the image."""
    _made_by: WeakIdKeyDictionary = field(default_factory=WeakIdKeyDictionary)

    def start(self, image: Tensor) -> None:
        """Makes `image` the first source."""
        self._add(Step("image", (), frozenset()), [image])

    def end(self, result: Tensor) -> None:
        """Makes `result` what the pass is for."""
        sources = self._sources([result])
        self.result = sources[0] if sources else None

    def follow(
        self, operator: str, reads: Iterable[Tensor], parameters: Iterable[str], makes: Iterable[Tensor]
    ) -> None:
        """Notes an operator, unless nothing that it reads depends on the image."""
        sources = self._sources(reads)
        if sources and operator not in _FROM_SHAPES:
            self._add(Step(operator.removesuffix("_"), sources, frozenset(parameters)), makes)

    def joints(self, cut: Set[str]) -> Joints:
        """What happens where every operator that reads a parameter of `cut` gives a constant."""
        whole, severed = {0}, set[int]()
        operators: dict[int, str] = {}
        for number, step in enumerate(self.steps[1:], 1):
            if whole.isdisjoint(step.sources) or not cut.isdisjoint(step.parameters):
                severed.add(number)
                continue
            whole.add(number)
            if not severed.isdisjoint(step.sources):
                operators[number] = step.operator
        return Joints(operators, arrives=self.result in whole)

    def _sources(self, reads: Iterable[Tensor]) -> tuple[int, ...]:
        return tuple(self._made_by[tensor] for tensor in reads if tensor in self._made_by)

    def _add(self, step: Step, makes: Iterable[Tensor]) -> None:
        for tensor in makes:
            self._made_by[tensor] = len(self.steps)
        self.steps.append(step)
