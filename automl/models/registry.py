"""Networks by name: timm, torchvision, our CIFAR ResNets and the user's own factory."""

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import timm
from torch import nn
from torchvision import models as torchvision_models
from torchvision.models import get_model_builder, get_model_weights  # type: ignore[attr-defined]
from torchvision.models import list_models as list_torchvision  # type: ignore[attr-defined]

from automl.core.errors import ModelError
from automl.core.user_code import names_code, resolve
from automl.models.cifar_resnet import CifarResNet

_CIFAR_DEPTHS: Mapping[str, int] = {"cifar_resnet20": 20, "cifar_resnet32": 32, "cifar_resnet56": 56}
_FORMS = (
    "Write timm:NAME, torchvision:NAME, cifar_resnet20, cifar_resnet32, cifar_resnet56, "
    "or pkg.mod:factory for your own; `automl models` lists the tested ones."
)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One network that the tests cover."""

    name: str
    """As `build` takes it."""
    source: str
    """Who wrote it: `timm`, `torchvision` or `automl`."""
    note: str
    """What it is, in a few words."""


_TESTED = (
    ModelInfo("cifar_resnet20", "automl", "He et al. 2016, for 32 px"),
    ModelInfo("cifar_resnet32", "automl", "He et al. 2016, for 32 px"),
    ModelInfo("cifar_resnet56", "automl", "He et al. 2016, for 32 px"),
    ModelInfo("timm:mobilenetv1_100", "timm", "MobileNetV1"),
    ModelInfo("torchvision:mobilenet_v2", "torchvision", "MobileNetV2"),
    ModelInfo("timm:mobilenetv2_100", "timm", "MobileNetV2"),
    ModelInfo("torchvision:mobilenet_v3_large", "torchvision", "MobileNetV3, squeeze-excite"),
    ModelInfo("torchvision:mobilenet_v3_small", "torchvision", "MobileNetV3, squeeze-excite"),
    ModelInfo("timm:mobilenetv4_conv_small", "timm", "MobileNetV4, convolutions only"),
    ModelInfo("timm:efficientnet_lite0", "timm", "EfficientNet-Lite0"),
    ModelInfo("torchvision:resnet18", "torchvision", "ResNet, basic blocks"),
    ModelInfo("torchvision:resnet34", "torchvision", "ResNet, basic blocks"),
    ModelInfo("torchvision:resnet50", "torchvision", "ResNet, bottlenecks"),
    ModelInfo("timm:resnet50d", "timm", "ResNet-D, deep stem and pooled shortcuts"),
    ModelInfo("torchvision:vgg16", "torchvision", "VGG, flatten into linear"),
    ModelInfo("torchvision:vgg16_bn", "torchvision", "VGG with batch norm"),
    ModelInfo("torchvision:densenet121", "torchvision", "DenseNet, concatenations"),
    ModelInfo("torchvision:shufflenet_v2_x1_0", "torchvision", "ShuffleNetV2, channel shuffle"),
    ModelInfo("torchvision:regnet_y_400mf", "torchvision", "RegNetY, grouped convolutions and squeeze-excite"),
    ModelInfo("torchvision:convnext_tiny", "torchvision", "ConvNeXt, layer norm"),
)


def list_models() -> tuple[ModelInfo, ...]:
    """The networks that the tests cover; any other of timm or torchvision may be named too."""
    return _TESTED


def build(spec: str, *, classes: int | None = None) -> nn.Module:
    """Builds a network with fresh weights, drawn from torch's global generator.

    Args:
        spec: `timm:NAME`, `torchvision:NAME`, `cifar_resnet20|32|56` or `pkg.mod:factory`. A factory is called
            with `classes=N` if it has that parameter, else with nothing, and must then fit the data by itself.
        classes: Number of logits; None leaves the network's own default.

    Raises:
        ModelError: If the name is unknown (the nearest ones are offered) or the factory does not make a network.
    """
    if spec in _CIFAR_DEPTHS:
        return CifarResNet(_CIFAR_DEPTHS[spec], 10 if classes is None else classes)
    source, _, name = spec.partition(":")
    if source == "timm" and name:
        return _build_timm(name, classes)
    if source == "torchvision" and name:
        return _build_torchvision(name, classes)
    if names_code(spec):
        return _build_by_factory(spec, classes)
    raise ModelError(f"A model must be one that we can build, but {spec!r} is not. {_did_you_mean(spec)}")


def default_input_size(spec: str) -> int | None:
    """Height and width in pixels that the network was designed for; None where only its author knows."""
    source, _, name = spec.partition(":")
    if spec in _CIFAR_DEPTHS:
        return 32
    if source == "timm" and timm.is_model(name.partition(".")[0]):
        config = timm.get_pretrained_cfg(name)
        return int(config.input_size[-1]) if config is not None else 224
    if source == "torchvision" and name in _torchvision_names():
        transforms = get_model_weights(name)["DEFAULT"].transforms
        return int(transforms.keywords["crop_size"])
    return None


def input_channels(model: nn.Module) -> int:
    """Channels of the images that the network reads: the inputs of its first convolution.

    Raises:
        ModelError: If there is no convolution.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            return module.in_channels
    raise ModelError(
        f"A network must start with a 2-d convolution, but {type(model).__name__} has none. "
        "Only convolutional networks can be compressed here."
    )


def _build_timm(name: str, classes: int | None) -> nn.Module:
    # `timm:hf-hub:...` would reach for the network; only names in the registry get past this line.
    if not timm.is_model(name.partition(".")[0]):
        raise ModelError(f"timm has no model {name!r}. {_did_you_mean(f'timm:{name}')}")
    try:
        # timm reads num_classes=None as the model's own default.
        model = timm.create_model(name, pretrained=False, num_classes=classes)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"timm cannot build {name!r}: {str(error).rstrip('.')}. {_FORMS}") from error
    assert isinstance(model, nn.Module)
    return model


def _build_torchvision(name: str, classes: int | None) -> nn.Module:
    if name not in _torchvision_names():
        raise ModelError(f"torchvision has no classifier {name!r}. {_did_you_mean(f'torchvision:{name}')}")
    builder = get_model_builder(name)
    return builder(weights=None) if classes is None else builder(weights=None, num_classes=classes)


def _build_by_factory(spec: str, classes: int | None) -> nn.Module:
    factory = _load_factory(spec)
    try:
        takes_classes = "classes" in inspect.signature(factory).parameters
        model = factory(classes=classes) if takes_classes and classes is not None else factory()
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise ModelError(
            f"A model factory must be callable without arguments (or with `classes`), but {spec!r} raised "
            f"{type(error).__name__}: {error}. Call it by hand to see where."
        ) from error
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"A model factory must return a torch.nn.Module, but {spec!r} returned {type(model).__name__}. "
            "Return the network itself."
        )
    return model


def _load_factory(spec: str) -> Callable[..., object]:
    try:
        factory = resolve(spec)
    except (Exception, SystemExit) as error:  # importing runs the user's code
        raise ModelError(
            f"A model factory must be importable, but {spec!r} raised {type(error).__name__}: {error}. "
            f"Modules are looked up in {Path.cwd()} and in the environment. {_did_you_mean(spec)}"
        ) from error
    if not callable(factory):
        raise ModelError(f"A model factory must be callable, but {spec!r} is a {type(factory).__name__}.")
    return factory  # type: ignore[no-any-return]


def _torchvision_names() -> list[str]:
    return list(list_torchvision(module=torchvision_models))


def _did_you_mean(spec: str) -> str:
    """The nearest known names, whichever library has them, and the forms that a spec takes."""
    bare = spec.rpartition(":")[2].lower()
    names = {name: name for name in _CIFAR_DEPTHS}
    names |= {f"timm:{name}": name for name in timm.list_models()}
    names |= {f"torchvision:{name}": name for name in _torchvision_names()}
    close = difflib.get_close_matches(bare, sorted(set(names.values())), n=3, cutoff=0.6)
    source = spec.partition(":")[0] if ":" in spec else ""
    found = [full for match in close for full, name in names.items() if name == match]
    found.sort(key=lambda full: (not full.startswith(source), close.index(names[full])))
    return f"Did you mean {', '.join(found[:4])}? {_FORMS}" if found else _FORMS
