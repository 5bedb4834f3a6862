"""Batch norms folded into the layers in front of them: the same answers from less work, for networks that only answer.

At the widths of pruned networks a batch norm takes as long as the convolution in front of it.
"""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from automl.compress.batch_norm import NormFinder
from automl.compress.surgery import slim
from automl.tracing.channel_map import TracedModel

_SAME = 1e-3
"""Largest change of a logit by folding, relative to the largest logit; rounding errors are smaller."""


def foldable(model: nn.Module, traced: TracedModel, images: Tensor) -> Mapping[str, str]:
    """Layer -> its batch norm, for all that `fold` may fold in `model` and in whatever is sliced from it.

    None at all where the folded network answers otherwise: a forward method may do more with a layer's outputs than
    to normalise them.

    Args:
        model: In eval mode; it is not changed.
        traced: What tracing knows of it.
        images: Shape `(N, C, H, W)`, on the model's device; a few are enough.
    """
    modules = dict(model.named_modules())
    layers = [name for name, module in modules.items() if isinstance(module, nn.Conv2d | nn.Linear)]
    finder = NormFinder(modules, layers)
    with torch.no_grad(), finder.watching():
        wanted = model(images)
    found = finder.found()
    copy = slim(model, traced.channel_map, {})
    fold(copy, found)
    with torch.no_grad():
        try:
            given = copy(images)
        except AttributeError:  # the forward method reads what the norm no longer has
            return {}
    limit = _SAME * float(wanted.abs().max())
    return found if bool(((given - wanted).abs() <= limit).all()) else {}


def fold(network: nn.Module, norms: Mapping[str, str]) -> None:
    """Folds batch norms into layers, for inference; parameters and modules are replaced, none is written.

    Args:
        network: In eval mode; changed.
        norms: Layer -> the batch norm that reads it, and it alone. Those that surgery has taken away are passed over.
    """
    modules = dict(network.named_modules())
    for path, norm_path in norms.items():
        parent_path, _, name = norm_path.rpartition(".")
        layer, parent = modules[path], modules[parent_path]
        norm = parent._modules[name]
        rest = None if norm is None else _rest(norm)
        if rest is not None and isinstance(layer, nn.Conv2d | nn.Linear):
            _absorb(layer, cast(nn.BatchNorm2d, norm))
            parent._modules[name] = rest


def _rest(norm: nn.Module) -> nn.Module | None:
    """What a batch norm does after it has normalised; None where that is not known."""
    if type(norm) in (nn.BatchNorm1d, nn.BatchNorm2d):
        return nn.Identity()
    if type(norm).__name__ == "BatchNormAct2d":  # timm's, by name, because to import it takes seconds
        return nn.Sequential(*(norm._modules[name] or nn.Identity() for name in ("drop", "act")))
    return None


def _absorb(layer: nn.Conv2d | nn.Linear, norm: nn.BatchNorm2d) -> None:
    # Without running statistics `NormFinder` would not have found it.
    assert norm.running_mean is not None
    assert norm.running_var is not None
    fused = fuse_conv_bn_weights if isinstance(layer, nn.Conv2d) else fuse_linear_bn_weights
    with torch.no_grad():
        weight, bias = fused(
            layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
    # Not by attribute: `nn.Module.__setattr__` takes as long as the arithmetic.
    layer._parameters.update(weight=weight, bias=bias)
