import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset


class TinyImages(Dataset[tuple[Tensor, int]]):
    """Images in memory."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], int(self.labels[index])


def bars(images: int, seed: int, labelled: bool = True) -> TinyImages:
    """Noisy images of a horizontal (class 0) or a vertical bar (class 1), which a tiny network tells apart."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % 2
    pixels = 0.5 * torch.randn(images, 1, 6, 6, generator=generator)
    places = torch.randint(6, (images,), generator=generator)
    for pixel, label, place in zip(pixels, labels, places, strict=True):
        (pixel[0] if label == 0 else pixel[0].T)[place] += 2
    return TinyImages(pixels, labels if labelled else torch.full_like(labels, -1))


class TinyNet(nn.Module):
    """A convolution, batch norm, dropout and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, (3, 3), padding=1)
        self.bn = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.1)
        self.fc = nn.Linear(6, 2)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.relu(self.bn(self.conv(images)))
        logits: Tensor = self.fc(self.drop(maps.amax((2, 3))))
        return logits


@pytest.fixture
def tiny_net() -> TinyNet:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return TinyNet()
