"""A network that is built and traced in a moment."""

from torch import nn

SPEC = "tests.hostile.network:tiny"


def tiny(classes: int = 10) -> nn.Module:
    """Two convolutions with batch norms, pooling and a linear layer."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, classes),
    )


def leaves() -> nn.Module:
    """A factory that would end the whole process."""
    raise SystemExit(0)
