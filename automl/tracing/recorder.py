"""Watches one forward pass, operator by operator, and labels the channels of every activation.

Dispatch-level recording sees a few hundred canonical operators whatever the Python code looks like: functional
activations, shared modules, in-place sums and control flow on shapes need no rewriting.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from automl.core.errors import TraceError
from automl.tracing.flow import Flow
from automl.tracing.labels import LabelBook, along, compact, expanded

Operator = Any  # torch._ops.OpOverload, which has no public type
Handler = Callable[["Recorder", Operator, Sequence[Any], dict[str, Any], Any], None]
"""Labels the result: (recorder, operator, arguments, keyword arguments, result)."""
HandlerOf = Callable[[Operator], Handler | None]
_PRODUCTS = frozenset({"mm", "bmm", "addmm", "baddbmm", "matmul", "_scaled_dot_product_flash_attention_for_cpu"})


@dataclass
class Call:
    """One layer, and how it ran so far."""

    name: str
    weight_shape: tuple[int, ...]
    stride: tuple[int, int]
    inputs: NDArray[np.int64]
    outputs: NDArray[np.int64]
    filter_inputs: NDArray[np.int64] | None
    """None for a depthwise convolution, whose filters read one channel each."""
    out_size: tuple[int, int]
    positions: int


@dataclass
class Recording:
    """Everything that the forward pass showed."""

    book: LabelBook = field(default_factory=LabelBook)
    flow: Flow = field(default_factory=Flow)
    calls: dict[str, Call] = field(default_factory=dict)
    uncounted: dict[str, None] = field(default_factory=dict)
    """Products of two activations, in words; they are not among the MACs of convolutions and linear layers."""


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves __init_subclass__ untyped
    """Labels the outputs of every operator that runs under it."""

    def __init__(self, model: nn.Module, batch: int, handler_of: HandlerOf) -> None:
        """Names the tensors of `model`; `batch` is the number of images in the example."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._handler_of = handler_of
        self.recording = Recording()
        self.batch = batch
        self.path: list[str] = []
        self._labels: WeakIdKeyDictionary = WeakIdKeyDictionary()
        self._names: dict[int, str] = {}
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            self._names.setdefault(id(tensor), name)

    @property
    def book(self) -> LabelBook:
        """The labels given out so far."""
        return self.recording.book

    @property
    def where(self) -> str:
        """The module that runs, for messages."""
        return f"`{self.path[-1]}`" if self.path and self.path[-1] else "the model's own forward"

    def name_of(self, tensor: Any) -> str | None:
        """Key of a parameter or buffer of the model; None for an activation."""
        return self._names.get(id(tensor))

    def labels_of(self, value: Any) -> Tensor | None:
        """Labels of `value`, of its shape; None where it has no channels (a number, a single value)."""
        if not isinstance(value, Tensor) or value.numel() == 1:
            return None
        if value not in self._labels:
            self._labels[value] = self._first_labels(value)
        return cast(Tensor, self._labels[value])

    def set_labels(self, value: Tensor, labels: Tensor) -> None:
        """Gives `value` the labels `labels`, of the same shape."""
        self._labels[value] = compact(labels)

    def fix(self, value: Any, reason: str) -> None:
        """Labels every tensor in `value` as one that cannot lose channels."""
        for tensor in _tensors(value):
            self._labels[tensor] = expanded(self.book.pinned(reason), tensor.shape, 0)

    def pin(self, value: Any, reason: str) -> None:
        """Pins the labels of every tensor in `value`."""
        for tensor in _tensors(value):
            labels = self.labels_of(tensor)
            if labels is not None:
                self.book.pin(labels, reason)

    def channel_labels(self, value: Tensor, dim: int) -> NDArray[np.int64]:
        """Labels of `value` along its channel dimension; where they mix with others, all are pinned first."""
        labels = self.labels_of(value)
        vector = None if labels is None else along(labels, dim)
        if vector is not None:
            return vector
        reason = f"{self.where} reads channels that are mixed with other dimensions"
        self.pin(value, reason)
        return np.full(value.shape[dim], self.book.pinned(reason), dtype=np.int64)

    def __torch_dispatch__(
        self,
        func: Operator,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Runs the operator and labels what it returns."""
        kwargs = kwargs or {}
        handler = self._handler_of(func)
        if handler is None:
            # Under inference mode composite operators arrive whole; their parts may be known.
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **kwargs)
        self._follow(func, args, kwargs, out)
        if handler is None:
            self._unknown(func, args, kwargs, out)
        else:
            handler(self, func, args, kwargs, out)
        return out

    def _follow(self, func: Operator, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
        reads = _tensors([*args, *kwargs.values()])
        parameters = [name for tensor in reads if (name := self.name_of(tensor)) is not None]
        self.recording.flow.follow(func.overloadpacket.__name__, reads, parameters, _tensors(out))

    def _unknown(self, func: Operator, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
        reads = [t for t in _tensors([*args, *kwargs.values()]) if t in self._labels or id(t) in self._names]
        operator = func.overloadpacket.__name__
        if operator in _PRODUCTS:
            self.recording.uncounted[f"the multiply-adds of `{operator}` in {self.where} are not counted"] = None
        if not reads:
            return  # made from constants: labelled as such where it is first read
        reason = f"`{operator}` in {self.where} mixes or reorders channels in a way that is not known"
        self.pin(reads, reason)
        self.fix(out, reason)

    def _first_labels(self, tensor: Tensor) -> Tensor:
        name = self._names.get(id(tensor))
        wide = [dim for dim, size in enumerate(tensor.shape) if size > 1]
        if name is None:
            reason = f"combined with a constant in {self.where}"
            return expanded(self.book.pinned(reason), tensor.shape, 0)
        if len(wide) == 1:
            vector = self.book.bind((name, wide[0]), self.book.fresh(tensor.shape[wide[0]]))
            return expanded(vector, tensor.shape, wide[0])
        reason = f"{self.where} uses the tensor `{name}` outside its layer"
        self.book.whole.setdefault(name, reason)
        return expanded(self.book.pinned(reason), tensor.shape, 0)


def record(model: nn.Module, images: Tensor, handler_of: HandlerOf) -> Recording:
    """Runs `model` in eval mode on `images` and labels every channel.

    Args:
        model: Any module whose forward takes one batch of images.
        images: Shape `(batch, channels, height, width)`.
        handler_of: Finds what an operator does to channels.

    Raises:
        TraceError: If the forward pass fails on the images, or depends on their values.
    """
    recorder = Recorder(model, len(images), handler_of)
    hooks = []
    for name, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(_entering(recorder, name)))
        hooks.append(module.register_forward_hook(_leaving(recorder)))
    was_training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.inference_mode():
            batch = images.clone()  # made under inference mode, so that views keep their identity
            recorder.fix(batch, "the network's input")
            recorder.recording.flow.start(batch)
            with recorder:
                out = model(batch)
    except TraceError:
        raise
    except Exception as error:
        raise TraceError(
            f"The model must run on a batch of images of shape {tuple(images.shape[1:])}, but its forward failed in "
            f"{recorder.where}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}. "
            "Check `--input-size`, the number of input channels, and that forward takes one tensor."
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in was_training.items():
            module.training = training
    recorder.pin(out, "class logits")
    if not isinstance(out, Tensor) or out.ndim != 2:
        shape = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise TraceError(
            f"The model must return one tensor of class logits of shape (batch, classes), but it returned {shape}. "
            "Wrap it in a module whose forward returns the logits."
        )
    recorder.recording.flow.end(out)
    return recorder.recording


def _entering(recorder: Recorder, name: str) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: Any) -> None:
        recorder.path.append(name)

    return hook


def _leaving(recorder: Recorder) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        recorder.path.pop()

    return hook


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]
