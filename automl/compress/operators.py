"""The operators of an unmodified forward method, each under a name that slicing and dropped branches leave alone."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

LAYER_OPERATORS = {"conv2d", "linear"}
"""Operators of the layers that can be quantized."""


class OperatorMode(TorchFunctionMode):
    """Sees every torch operator that runs inside `watching`, with its key.

    A key is the path of the module whose forward method calls, the operator, and how often that method has called it
    before in this pass: `layer1/0|add|0`. Within the mode, operators that `operator` itself calls are not seen.
    """

    def __init__(self, network: nn.Module) -> None:
        """Takes the network whose modules give the names."""
        super().__init__()
        self._paths = {id(module): path.replace(".", "/") for path, module in network.named_modules()}
        self._stack: list[str] = [""]
        self._calls: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """One forward pass."""
        self._stack, self._calls = [""], Counter()
        # Hooks of all modules, and not of each: a network has hundreds, and they would travel with its copies.
        hooks = [
            register_module_forward_pre_hook(self._enter),
            # Also when the module fails: a forward method may go on without it.
            register_module_forward_hook(self._leave, always_call=True),
        ]
        try:
            with self:
                yield
        finally:
            for hook in hooks:
                hook.remove()

    @abstractmethod
    def operator(self, key: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Runs one operator, or something in its place."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Names the operator."""
        name = getattr(function, "__name__", "")
        if name == "__get__":  # an attribute, such as a shape
            return function(*args, **(kwargs or {}))
        path = self._stack[-1]
        occurrence = self._calls[path, name]
        self._calls[path, name] += 1
        return self.operator(f"{path}|{name}|{occurrence}", function, args, kwargs or {})

    def _enter(self, module: nn.Module, inputs: object) -> None:
        path = self._paths.get(id(module))
        if path is not None:
            self._stack.append(path)

    def _leave(self, module: nn.Module, inputs: object, output: object) -> None:
        if id(module) in self._paths:
            self._stack.pop()


def operator_of(key: str) -> str:
    """The operator that a key names."""
    return key.rsplit("|", 2)[1]


def layer_of(key: str) -> str | None:
    """The layer whose operator the key names, by its path in `named_modules()`; None for any other operator."""
    _, name, occurrence = key.rsplit("|", 2)
    return module_of(key) if name in LAYER_OPERATORS and occurrence == "0" else None


def module_of(key: str) -> str:
    """Path in `named_modules()` of the module whose forward method calls the operator."""
    return key.split("|")[0].replace("/", ".")


def in_words(key: str) -> str:
    """The operator as a message names it: `relu in layer1.0`."""
    module = module_of(key)
    return f"{operator_of(key)} in {module}" if module else operator_of(key)
