"""What a layer's filters read at some places of its output map, as rows of a matrix."""

import math

import torch.nn.functional as F
from torch import Tensor, nn

POSITIONS_PER_IMAGE = 64
"""Places of a map that are fitted, on a grid, at most; with fewer, the deep layers have too few rows."""
_FEWEST_POSITIONS = 16
_ROWS_PER_ENTRY = 400
"""More than so many rows say nothing new: a depthwise filter has nine entries."""


def grid_step(module: nn.Conv2d | nn.Linear, out_size: tuple[int, int], images: int) -> tuple[int, int]:
    """Every how many rows and columns of a layer's output map a place counts; (1, 1) for a linear layer.

    Args:
        module: The layer.
        out_size: (height, width) of the map.
        images: How many there are.
    """
    enough = _ROWS_PER_ENTRY * module.weight[0].numel() / images
    side = math.sqrt(min(max(enough, _FEWEST_POSITIONS), POSITIONS_PER_IMAGE))
    return max(1, math.ceil(out_size[0] / side)), max(1, math.ceil(out_size[1] / side))


def grid_start(step: tuple[int, int]) -> tuple[int, int]:
    """The first place: the middle of the first step, as borders, which are padded, would count too much otherwise."""
    return step[0] // 2, step[1] // 2


def patches(module: nn.Conv2d, values: Tensor, step: tuple[int, int]) -> Tensor:
    """What the filters read at the places that count, of shape `(groups, places, entries)`."""
    groups, channels = module.groups, values.shape[1]
    stride = (module.stride[0] * step[0], module.stride[1] * step[1])
    read = F.pad(values, (*_margins(module, values, step, 1), *_margins(module, values, step, 0)))
    if module.kernel_size == (1, 1) and groups == 1:
        return read[:, :, :: stride[0], :: stride[1]].permute(0, 2, 3, 1).reshape(1, -1, channels)
    unfolded = F.unfold(read, module.kernel_size, dilation=module.dilation, stride=stride)  # [N, entries, places]
    images, entries, places = unfolded.shape
    by_group = unfolded.reshape(images, groups, entries // groups, places).permute(1, 0, 3, 2)
    return by_group.reshape(groups, -1, entries // groups)


def _margins(module: nn.Conv2d, values: Tensor, step: tuple[int, int], dim: int) -> tuple[int, int]:
    """How far a map's rows (dim 0) or columns (1) are read beyond their first and last; negative where not so far.

    The layer's own padding would copy the whole map for the sake of borders that are mostly left out.
    """
    reversed_padding = module._reversed_padding_repeated_twice
    before, after = reversed_padding[2 * (1 - dim)], reversed_padding[2 * (1 - dim) + 1]
    side, stride, begin = values.shape[2 + dim], module.stride[dim], grid_start(step)[dim]
    reach = (module.kernel_size[dim] - 1) * module.dilation[dim] + 1
    outputs = (side + before + after - reach) // stride + 1
    first = stride * begin - before
    last = first + (outputs - begin - 1) // step[dim] * step[dim] * stride
    return -first, last + reach - side
