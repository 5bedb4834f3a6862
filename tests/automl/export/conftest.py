from pathlib import Path

import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from automl.export.onnx_file import export_onnx


class OwnNet(nn.Module):
    """As a user writes one: functional activation and pooling, a view, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(8 * 4 * 4, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = functional.max_pool2d(functional.relu(self.bn(self.conv(images))), 2)
        logits: Tensor = self.fc(self.dropout(maps.view(maps.size(0), -1)))
        return logits


def randomise(model: nn.Module, seed: int = 0) -> None:
    """Gives every batch norm and bias values that matter, as training does."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.5, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
        if isinstance(bias := getattr(module, "bias", None), Tensor):
            nn.init.normal_(bias, 0, 0.5, generator=generator)


@pytest.fixture(scope="session")
def own_net() -> OwnNet:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = OwnNet()
    randomise(model)
    return model


@pytest.fixture(scope="session")
def own_file(own_net: OwnNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "model.onnx"
    export_onnx(own_net, (3, 8, 8), path)
    return path
