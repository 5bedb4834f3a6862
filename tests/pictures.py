"""Images that differ in more than their noise, so that networks answer differently to them."""

import torch
import torch.nn.functional as F
from torch import Tensor


def pictures(count: int, seed: int) -> Tensor:
    """Coarse patterns with some noise, each with a contrast and a colour of its own, as photos have."""
    generator = torch.Generator().manual_seed(seed)
    coarse = F.interpolate(torch.randn(count, 3, 4, 4, generator=generator), size=(16, 16), mode="bilinear")
    noise = 0.3 * torch.randn(count, 3, 16, 16, generator=generator)
    contrast = 0.2 + 2 * torch.rand(count, 1, 1, 1, generator=generator)
    return (coarse + noise) * contrast + torch.randn(count, 3, 1, 1, generator=generator)
