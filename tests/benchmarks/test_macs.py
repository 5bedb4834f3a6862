import torch
from torch import nn

from benchmarks.macs import count_macs


def test_multiply_adds_are_counted_once_and_groups_divide_them() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),  # 8 x 3 x 9 on 6 x 6
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, groups=8, stride=2),  # 8 x 9 on 2 x 2
        nn.Flatten(),
        nn.Linear(32, 5),
    )
    assert count_macs(model, (3, 6, 6)) == 8 * 3 * 9 * 36 + 8 * 9 * 4 + 32 * 5


def test_the_network_comes_back_as_it_was() -> None:
    norm = nn.BatchNorm2d(4)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), norm)
    model.train()
    norm.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    count_macs(model, (3, 4, 4))
    assert (model.training, norm.training) == (True, False)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
