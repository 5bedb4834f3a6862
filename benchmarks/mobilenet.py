"""A small MobileNetV2 for 32-pixel images."""

from torch import nn
from torchvision.models import MobileNetV2  # type: ignore[attr-defined]

_STAGES = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]]
"""Expansion, channels, blocks and stride of each stage: Sandler et al. 2018, table 2."""


def small_mobilenet_v2(classes: int = 10) -> nn.Module:
    """MobileNetV2 at half width, with a stride of 1 in the stem: the last maps have 2 x 2 places.

    With the stem's own stride of 2 it learns nothing from scratch on the 6,000 training images of `synthetic:clutter`.

    Args:
        classes: Number of logits.
    """
    model = MobileNetV2(num_classes=classes, width_mult=0.5, inverted_residual_setting=_STAGES, dropout=0.0)
    stem: nn.Conv2d = model.features[0][0]
    stem.stride = (1, 1)
    return model  # type: ignore[no-any-return]
