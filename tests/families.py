"""The networks that must prune, by the names that users type."""

import torch
from torch import nn

from automl.models.registry import build

PRUNE_FULLY = (
    "timm:mobilenetv1_100",
    "torchvision:mobilenet_v2",
    "timm:mobilenetv2_100",
    "torchvision:mobilenet_v3_large",
    "timm:mobilenetv3_large_100",
    "torchvision:mobilenet_v3_small",
    "timm:mobilenetv3_small_100",
    "timm:mobilenetv4_conv_small",
    "timm:efficientnet_lite0",
    "torchvision:resnet18",
    "timm:resnet34",
    "timm:resnet50",
    "timm:resnet50d",
    "cifar_resnet56",
    "timm:vgg16",
    "torchvision:vgg16_bn",
)
"""Every group but the class logits can lose channels."""
PRUNE_IN_PART = ("torchvision:densenet121", "torchvision:shufflenet_v2_x1_0", "timm:regnety_004", "timm:convnext_tiny")
"""These prune, or say which groups do not."""


def lively(spec: str) -> nn.Module:
    """The network with random statistics and scales, so that no channel is silent and no branch is near zero."""
    torch.manual_seed(0)
    model = build(spec).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
        for name, parameter in model.named_parameters():
            if name.endswith("gamma"):  # ConvNeXt's layer scale starts at 1e-6
                parameter.fill_(1.0)
    return model


def native_size(spec: str) -> int:
    """Height and width that the published counts refer to."""
    return 32 if spec.startswith("cifar") else 224
