"""The residual networks for 32 px images of He et al. 2016 (section 4.2), with 1x1 convolution shortcuts."""

from torch import Tensor, nn

_STAGE_WIDTHS = (16, 32, 64)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut.

    Where the shape changes the shortcut is a 1x1 convolution (option B of the paper): the zero padding of
    option A would tie every stage to the channel order of the one before it, so that no width could be pruned.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, images: Tensor) -> Tensor:
        """Maps `[N, in_channels, H, W]` to `[N, out_channels, H / stride, W / stride]`."""
        out = self.relu(self.bn1(self.conv1(images)))
        out = self.bn2(self.conv2(out))
        joined: Tensor = self.relu(out + self.shortcut(images))
        return joined


class CifarResNet(nn.Module):
    """Three stages of 16, 32 and 64 channels, `(depth - 2) / 6` blocks each.

    Args:
        depth: Convolutions on the longest path plus the classifier: 20, 32, 44, 56.
        classes: Number of logits.
    """

    def __init__(self, depth: int, classes: int = 10) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, _STAGE_WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_STAGE_WIDTHS[0])
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _stage(_STAGE_WIDTHS[0], _STAGE_WIDTHS[0], blocks, stride=1)
        self.layer2 = _stage(_STAGE_WIDTHS[0], _STAGE_WIDTHS[1], blocks, stride=2)
        self.layer3 = _stage(_STAGE_WIDTHS[1], _STAGE_WIDTHS[2], blocks, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(_STAGE_WIDTHS[2], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[N, classes]` of images `[N, 3, H, W]`."""
        out = self.relu(self.bn1(self.conv1(images)))
        out = self.layer3(self.layer2(self.layer1(out)))
        logits: Tensor = self.fc(self.avgpool(out).flatten(1))
        return logits


def _stage(in_channels: int, out_channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, out_channels, stride)
    return nn.Sequential(first, *(BasicBlock(out_channels, out_channels, 1) for _ in range(blocks - 1)))
