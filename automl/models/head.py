"""The classifier: the layer that makes the logits."""

from torch import nn

from automl.core.errors import ModelError

Classifier = nn.Linear | nn.Conv2d


def classifier_name(model: nn.Module) -> str:
    """Path of the layer that makes the logits, in `named_modules()`.

    timm says which layer it is. Elsewhere it is the last linear layer or 1x1 convolution in module order.

    Raises:
        ModelError: If there is no such layer, or more than one head.
    """
    named = _named_by_timm(model)
    if named is not None:
        return named
    layers: list[str] = [name for name, module in model.named_modules() if _can_classify(module)]
    if not layers:
        raise ModelError(
            f"A network must end in a linear layer or a 1x1 convolution, but {type(model).__name__} has neither. "
            "Give a classifier, not a feature extractor."
        )
    return layers[-1]


def classifier_classes(model: nn.Module) -> int:
    """Number of logits that the classifier makes."""
    return _classes(_classifier(model, classifier_name(model)))


def replace_head(model: nn.Module, classes: int) -> None:
    """Puts a freshly initialised classifier of `classes` logits where the old one was; the rest is untouched."""
    name = classifier_name(model)
    old = _classifier(model, name)
    new: nn.Module
    if isinstance(old, nn.Linear):
        new = nn.Linear(old.in_features, classes, bias=old.bias is not None)
    else:
        new = nn.Conv2d(old.in_channels, classes, 1, bias=old.bias is not None)
    weight = old.weight
    model.set_submodule(name, new.to(weight.device, weight.dtype))
    if isinstance(getattr(model, "num_classes", None), int):
        model.num_classes = classes  # type: ignore[assignment]  # timm and torchvision keep the count here


def _classifier(model: nn.Module, name: str) -> Classifier:
    module = model.get_submodule(name)
    assert isinstance(module, nn.Linear | nn.Conv2d)
    return module


def _classes(layer: Classifier) -> int:
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def _named_by_timm(model: nn.Module) -> str | None:
    config = getattr(model, "pretrained_cfg", None)
    if not isinstance(config, dict):
        return None
    name = config.get("classifier")
    if isinstance(name, tuple | list):
        raise ModelError(
            f"A network must have one classifier, but {type(model).__name__} has {len(name)}: {', '.join(name)}. "
            "Choose a model with one head."
        )
    modules = dict(model.named_modules())
    return str(name) if _can_classify(modules.get(str(name))) else None


def _can_classify(module: nn.Module | None) -> bool:
    if isinstance(module, nn.Linear):
        return True
    return isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1
