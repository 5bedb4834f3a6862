import torch
from torch import Tensor, nn

from automl.tracing.flow import Flow
from automl.tracing.operators import handler_of
from automl.tracing.recorder import record


class Block(nn.Module):
    """A convolution and, after it, a branch that is joined to its input in one of several ways."""

    def __init__(self, join: str) -> None:
        super().__init__()
        self.join = join
        self.stem = nn.Conv2d(3, 4, 1)
        self.branch = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        y = self.branch(x)
        match self.join:
            case "add":
                x = x + y
            case "in place":
                x += y
            case "mul":
                x = x * y.sigmoid()
            case "cat":
                x = torch.cat([x, y], dim=1)
            case "none":
                x = y
            case "shape":
                x = y + x.new_zeros(x.shape)
        return x.mean((2, 3))


def flow_of(join: str) -> Flow:
    return record(Block(join), torch.randn(2, 3, 4, 4), handler_of).flow


def test_the_operator_that_joins_a_branch_to_the_rest_is_known() -> None:
    for join, operator in (("add", "add"), ("in place", "add"), ("mul", "mul"), ("cat", "cat")):
        joints = flow_of(join).joints({"branch.weight"})
        assert list(joints.operators.values()) == [operator]
        assert joints.arrives


def test_without_another_way_nothing_of_the_image_arrives() -> None:
    assert not flow_of("none").joints({"branch.weight"}).arrives
    assert not flow_of("add").joints({"stem.weight"}).arrives
    assert flow_of("none").joints(set()).arrives


def test_a_tensor_that_is_made_from_a_shape_holds_nothing_of_the_image() -> None:
    joints = flow_of("shape").joints({"branch.weight"})
    assert not joints.operators
    assert not joints.arrives
