import pytest
import torch
from torch import nn

from automl.compress.patches import POSITIONS_PER_IMAGE, grid_start, grid_step, patches

LAYERS = [
    nn.Conv2d(4, 6, 1),
    nn.Conv2d(4, 6, 1, stride=2, groups=2),
    nn.Conv2d(4, 8, 3, padding=1, groups=4),
    nn.Conv2d(4, 6, 3, stride=2, padding=1),
    nn.Conv2d(4, 6, (3, 5), stride=(2, 1), padding=(0, 3)),
    nn.Conv2d(4, 6, 3, padding="same", dilation=2),
    nn.Conv2d(4, 6, 2, padding="same"),  # padded on one side only
    nn.Conv2d(4, 6, 3, stride=3, padding=1),  # leaves a border unread
]


# Torch warns that it pads a copy.
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("step", [(1, 1), (2, 3), (4, 4), (9, 7)])
@pytest.mark.parametrize("layer", LAYERS)
def test_filters_times_patches_are_the_outputs_where_they_count(layer: nn.Conv2d, step: tuple[int, int]) -> None:
    maps = torch.randn(2, 4, 31, 29, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        rows = patches(layer, maps, step)
        outputs = rows @ layer.weight.reshape(layer.groups, -1, rows.shape[2]).mT  # [groups, places, outputs]
        assert layer.bias is not None
        given = outputs.permute(1, 0, 2).flatten(1) + layer.bias
        wanted = layer(maps)[:, :, step[0] // 2 :: step[0], step[1] // 2 :: step[1]]
        torch.testing.assert_close(given, wanted.permute(0, 2, 3, 1).flatten(0, 2), atol=1e-5, rtol=1e-5)


def test_a_linear_layer_counts_every_row() -> None:
    assert grid_step(nn.Linear(8, 4), (1, 1), 10) == (1, 1)


@pytest.mark.parametrize(
    ("layer", "size", "images", "step"),
    [
        # 400 rows for each of 3,600 entries are more than 64 places of 100 images: 8 by 8 of them.
        (nn.Conv2d(400, 4, 3), (32, 32), 100, (4, 4)),
        (nn.Conv2d(400, 4, 3), (32, 12), 100, (4, 2)),
        # Of nine entries 3,600 rows are enough: 36 places of 100 images, 6 by 6.
        (nn.Conv2d(8, 8, 3, groups=8), (32, 32), 100, (6, 6)),
        # 16 places at least.
        (nn.Conv2d(8, 8, 3, groups=8), (32, 32), 10_000, (8, 8)),
        (nn.Conv2d(8, 8, 3, groups=8), (3, 3), 10_000, (1, 1)),
    ],
)
def test_large_maps_count_at_some_places(
    layer: nn.Conv2d, size: tuple[int, int], images: int, step: tuple[int, int]
) -> None:
    assert grid_step(layer, size, images) == step
    places = [len(range(start, side, each)) for side, each, start in zip(size, step, grid_start(step), strict=True)]
    assert places[0] * places[1] <= POSITIONS_PER_IMAGE
