import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from automl.compress.operators import OperatorMode, in_words, layer_of, module_of, operator_of
from automl.compress.surgery import KeptChannels, slim
from automl.tracing.trace import trace
from tests.families import lively

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Listing(OperatorMode):
    """Writes down the keys."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.keys: list[str] = []

    def operator(self, key: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        self.keys.append(key)
        return function(*args, **kwargs)


class Block(nn.Module):
    """Rectifies twice in one method, and runs a layer in a child."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(self.conv(torch.relu(maps))) + maps


class Broken(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        raise RuntimeError("broken")


class Mending(nn.Module):
    """Goes on without a child that fails."""

    def __init__(self) -> None:
        super().__init__()
        self.child = Broken()

    def forward(self, maps: Tensor) -> Tensor:
        with contextlib.suppress(RuntimeError):
            maps = self.child(maps)
        return maps.relu()


def keys(network: nn.Module, images: Tensor = IMAGES) -> list[str]:
    mode = Listing(network.eval())
    with torch.no_grad(), mode.watching():
        network(images)
    return mode.keys


def hooks() -> int:
    return len(torch_module._global_forward_hooks) + len(torch_module._global_forward_pre_hooks)


def test_a_key_is_the_module_the_operator_and_how_often_it_has_run_there() -> None:
    network = nn.Sequential(Block(), nn.Sequential(Block()))
    assert keys(network) == [
        *("0|relu|0", "0/conv|conv2d|0", "0|relu|1", "0|add|0"),
        *("1/0|relu|0", "1/0/conv|conv2d|0", "1/0|relu|1", "1/0|add|0"),
    ]


def test_a_module_that_runs_twice_goes_on_counting_and_each_pass_starts_anew() -> None:
    shared = Block()
    network = nn.Sequential(shared, shared)
    mode = Listing(network)
    for _ in range(2):
        mode.keys.clear()
        with torch.no_grad(), mode.watching():
            network(IMAGES)
        assert [key for key in mode.keys if "conv" in key] == ["0/conv|conv2d|0", "0/conv|conv2d|1"]


@pytest.mark.parametrize(
    ("key", "operator", "module", "layer"),
    [
        ("layer1/0|add|2", "add", "layer1.0", None),
        ("layer1/0/conv1|conv2d|0", "conv2d", "layer1.0.conv1", "layer1.0.conv1"),
        ("layer1/0/conv1|conv2d|1", "conv2d", "layer1.0.conv1", None),
        ("fc|linear|0", "linear", "fc", "fc"),
        ("|relu|0", "relu", "", None),
    ],
)
def test_a_key_is_read(key: str, operator: str, module: str, layer: str | None) -> None:
    assert (operator_of(key), module_of(key), layer_of(key)) == (operator, module, layer)


def narrowed(spec: str, *, dropped: bool) -> tuple[nn.Module, nn.Module]:
    """The network, and half of it, or all of it but one branch."""
    model = lively(spec)
    traced = trace(model, (3, 16, 16))
    kept: KeptChannels
    if dropped:
        branch = next(group for group in traced.graph.prunable if group.droppable)
        kept = {name: np.arange(0) for name in (branch.name, *branch.drops)}
    else:
        kept = {group.name: np.arange(max(1, group.channels // 2)) for group in traced.graph.prunable}
    return model, slim(model, traced.channel_map, kept)


@pytest.mark.parametrize("spec", ["cifar_resnet20", "torchvision:mobilenet_v2", "timm:mobilenetv3_small_100"])
def test_a_slimmed_network_has_the_keys_of_the_dense_one(spec: str) -> None:
    model, smaller = narrowed(spec, dropped=False)
    assert keys(smaller) == keys(model)


@pytest.mark.parametrize("spec", ["cifar_resnet20", "torchvision:mobilenet_v2"])
def test_without_a_branch_the_rest_keeps_its_keys(spec: str) -> None:
    model, smaller = narrowed(spec, dropped=True)
    before, after = keys(model), keys(smaller)
    gone = [key for key in before if key not in after]
    assert 0 < len([key for key in gone if layer_of(key)]) <= 3
    kept = [key for key in before if key not in gone]
    # In the same order; what stands in for the branch may run operators of its own.
    assert [key for key in after if key in before] == kept


def test_an_operator_inside_an_operator_is_not_seen() -> None:
    class Doubling(Listing):
        def operator(
            self, key: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
        ) -> Any:
            return super().operator(key, function, args, kwargs) * 2

    network = nn.Sequential(nn.ReLU(), nn.Identity())
    mode = Doubling(network)
    with mode.watching():
        doubled = network(IMAGES)
    assert mode.keys == ["0|relu|0"]
    assert torch.equal(doubled, 2 * IMAGES.relu())


def test_nothing_is_left_behind_even_when_the_network_fails() -> None:
    before = hooks()
    network = nn.Sequential(nn.ReLU(), Broken())
    mode = Listing(network)
    with pytest.raises(RuntimeError, match="broken"), mode.watching():
        network(IMAGES)
    assert hooks() == before
    assert len(mode.keys) == 1
    torch.relu(IMAGES)
    assert len(mode.keys) == 1
    # The same mode names the next pass rightly.
    mode.keys.clear()
    with mode.watching():
        network[0](IMAGES)
    assert mode.keys == ["0|relu|0"]


def test_a_child_that_fails_and_is_passed_over_gives_its_name_to_nothing() -> None:
    assert keys(Mending()) == ["|relu|0"]


def test_a_key_in_words_says_operator_and_module() -> None:
    assert in_words("layer1/0|relu|1") == "relu in layer1.0"
    assert in_words("|mean|0") == "mean"
