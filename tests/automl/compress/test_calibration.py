import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from automl.compress.batch_norm import recalibrate
from automl.compress.calibration import Rounding, quantize, round_singly
from automl.compress.folding import fold, foldable
from automl.compress.operators import OperatorMode, layer_of
from automl.compress.places import Places, find_places
from automl.compress.quantized import QuantizedNetwork
from automl.compress.surgery import slim
from automl.core.bits import BitWidths
from automl.core.errors import DataError
from automl.tracing.trace import trace
from tests.families import lively
from tests.pictures import pictures

IMAGES = pictures(64, seed=0)
UNSEEN = pictures(16, seed=1)
NEAREST, CLIPPED, GPTQ = Rounding(clip="max"), Rounding(clip="mse"), Rounding("gptq")


@dataclass(frozen=True)
class Prepared:
    """A network that can be sliced as often as needed."""

    model: nn.Module
    float_network: nn.Module
    fresh: Callable[[], nn.Module]
    places: Places

    def quantized(self, bits: BitWidths, rounding: Rounding = CLIPPED, images: Tensor = IMAGES) -> QuantizedNetwork:
        return quantize(self.fresh(), self.places, dict.fromkeys(self.places.reads, bits), images, rounding)


def prepared(spec: str, images: Tensor = IMAGES) -> Prepared:
    model = lively(spec)
    recalibrate(model, [images])  # as trained networks are: their statistics are those of the images
    traced = trace(model, tuple(images.shape[1:]))
    norms = foldable(model, traced, images[:2])

    def fresh() -> nn.Module:
        network = slim(model, traced.channel_map, {}).eval()
        fold(network, norms)
        return network

    return Prepared(model, fresh(), fresh, find_places(fresh(), images[:1]))


def error(given: nn.Module, wanted: nn.Module, images: Tensor = UNSEEN) -> float:
    with torch.no_grad():
        return float((given(images) - wanted(images)).square().mean())


class Outputs(OperatorMode):
    """What each layer returns."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.by_layer: dict[str, Tensor] = {}

    def operator(self, key: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        output = function(*args, **kwargs)
        layer = layer_of(key)
        if layer is not None:
            self.by_layer[layer.removeprefix("network.")] = output.clone()  # rectifiers may write it
        return output


def outputs(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    mode = Outputs(network)
    with torch.no_grad(), mode.watching():
        network(images)
    return mode.by_layer


def test_each_way_to_round_comes_nearer_at_four_bits() -> None:
    net = prepared("cifar_resnet20")
    errors = [error(net.quantized(BitWidths(4, 8), each), net.float_network) for each in (NEAREST, CLIPPED, GPTQ)]
    assert errors[2] < errors[1] < errors[0]


def test_more_bits_come_nearer() -> None:
    net = prepared("cifar_resnet20")
    weights = [error(net.quantized(BitWidths(bits, 8)), net.float_network) for bits in (2, 4, 8)]
    assert weights == sorted(weights, reverse=True)
    activations = [error(net.quantized(BitWidths(8, bits)), net.float_network) for bits in (4, 8)]
    assert activations == sorted(activations, reverse=True)


@pytest.mark.parametrize("rounding", [CLIPPED, GPTQ, Rounding(per_channel=False)])
def test_layers_return_the_mean_and_the_spread_that_they_had(rounding: Rounding) -> None:
    net = prepared("cifar_resnet20")
    wanted = outputs(net.float_network, IMAGES)
    given = outputs(net.quantized(BitWidths(4, 8), rounding), IMAGES)
    assert set(given) == set(wanted)
    for name, output in given.items():
        dims = (0, 2, 3) if output.ndim == 4 else (0,)
        deviation = wanted[name].std(dim=dims)
        assert float(((output.mean(dim=dims) - wanted[name].mean(dim=dims)).abs() / deviation).max()) < 1e-2, name
        if rounding.per_channel:
            torch.testing.assert_close(output.std(dim=dims), deviation, rtol=1e-2, atol=1e-5)


def test_without_correction_they_do_not() -> None:
    net = prepared("cifar_resnet20")
    wanted = outputs(net.float_network, IMAGES)["fc"]
    for corrected in (True, False):
        given = outputs(net.quantized(BitWidths(3, 8), Rounding(corrected=corrected)), IMAGES)["fc"]
        moved = float(((given.mean(dim=0) - wanted.mean(dim=0)) / wanted.std(dim=0)).abs().max())
        assert (moved < 0.01) is corrected


@pytest.mark.parametrize("rounding", [CLIPPED, GPTQ])
def test_nothing_of_the_dense_network_is_written(rounding: Rounding) -> None:
    net = prepared("cifar_resnet20")
    model = net.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    made = net.quantized(BitWidths(4, 4), rounding)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    # Nor is what a later training writes: the shortcut of slicing is that whole tensors are shared.
    shared = {tensor.data_ptr() for tensor in model.state_dict().values()}
    for layer in made.weight_grids:
        for parameter in made.network.get_submodule(layer).parameters():
            assert parameter.data_ptr() not in shared


def test_grids_of_one_scale_for_the_whole_tensor() -> None:
    net = prepared("cifar_resnet20")
    for rounding in (Rounding(per_channel=False), Rounding("gptq", per_channel=False)):
        made = net.quantized(BitWidths(3, 8), rounding)
        assert all(grid.scale.shape == () for grid in made.weight_grids.values())
        for name in made.weight_grids:
            weight = made.network.get_submodule(name).get_parameter("weight")
            assert len(set(weight.flatten().tolist())) <= 7
    assert all(grid.scale.ndim == 1 for grid in net.quantized(BitWidths(3, 8)).weight_grids.values())


def head(channels: int) -> list[nn.Module]:
    return [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5)]


class ChannelsLast(nn.Module):
    """Linear layers on maps whose channels come last, as in a ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 4, stride=4)
        self.wide = nn.Linear(6, 12)
        self.narrow = nn.Linear(12, 6)
        self.head = nn.Linear(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stem(images).permute(0, 2, 3, 1)
        maps = maps + self.narrow(self.wide(maps).relu())
        logits: Tensor = self.head(maps.mean((1, 2)))
        return logits


SHAPES: list[Callable[[], nn.Module]] = [
    lambda: nn.Sequential(nn.Conv2d(3, 12, 3, groups=3), *head(12)),
    lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8, stride=2), *head(8)),
    lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3, groups=8), *head(16)),
    lambda: nn.Sequential(nn.Conv2d(3, 8, 3, padding=2, padding_mode="circular"), *head(8)),
    lambda: nn.Sequential(nn.Conv2d(3, 8, (3, 5), padding="same", dilation=2, bias=False), *head(8)),
    lambda: nn.Sequential(nn.Flatten(), nn.Linear(768, 16), nn.ReLU(), nn.Linear(16, 5)),
    ChannelsLast,
]
SHAPE_NAMES = ["grouped", "depthwise", "two filters a channel", "circular", "dilated", "linear", "channels last"]


@pytest.mark.parametrize("rounding", [CLIPPED, GPTQ], ids=["nearest", "gptq"])
@pytest.mark.parametrize("build", SHAPES, ids=SHAPE_NAMES)
def test_layers_of_all_shapes_are_rounded_well(build: Callable[[], nn.Module], rounding: Rounding) -> None:
    torch.manual_seed(0)
    network = build().eval()
    places = find_places(network, IMAGES)
    layers = [name for name, each in network.named_modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    assert list(places.reads) == layers
    with torch.no_grad():
        wanted = network(UNSEEN)
    made = quantize(network, places, dict.fromkeys(layers, BitWidths(8, 8)), IMAGES, rounding)
    with torch.no_grad():
        lost = float((made(UNSEEN) - wanted).square().mean())
    assert lost < 0.02 * float(wanted.var(dim=0).mean())


@pytest.mark.parametrize("rounding", [CLIPPED, GPTQ])
def test_one_image_is_enough(rounding: Rounding) -> None:
    net = prepared("cifar_resnet20")
    made = net.quantized(BitWidths(8, 8), rounding, IMAGES[:1])
    with torch.no_grad():
        given, wanted = made(IMAGES[:1]), net.float_network(IMAGES[:1])
    assert float((given - wanted).abs().max()) < 0.1 * float(wanted.abs().max())


class Odd(nn.Module):
    """A channel that never fires, one that is always 3, and a layer whose outputs are all 0."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.silent = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 5)
        with torch.no_grad():
            assert self.stem.bias is not None
            self.stem.weight[:2] = 0.0
            self.stem.bias[:2] = torch.tensor([-1.0, 3.0])
            self.silent.weight.zero_()
            assert self.silent.bias is not None
            self.silent.bias.fill_(-5.0)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stem(images).relu()
        logits: Tensor = self.head((maps + self.silent(maps).relu()).mean((2, 3)))
        return logits


@pytest.mark.parametrize("rounding", [NEAREST, CLIPPED, GPTQ, Rounding(per_channel=False)])
def test_what_never_fires_or_never_changes_is_no_obstacle(rounding: Rounding) -> None:
    torch.manual_seed(0)
    network = Odd().eval()
    places = find_places(network, IMAGES)
    with torch.no_grad():
        wanted = network(UNSEEN)
        made = quantize(network, places, dict.fromkeys(places.reads, BitWidths(8, 8)), IMAGES, rounding)
        given = made(UNSEEN)
    assert float((given - wanted).abs().max()) < 0.02 * float(wanted.abs().max())
    assert made.silent == ("|relu|1",)
    assert float(made.activation_grids["|relu|1"].scale) == 1.0
    assert made.activation_grids["|relu|1"].rounded(torch.zeros(1)).item() == 0.0


def test_images_that_are_not_finite_are_refused_by_name() -> None:
    net = prepared("cifar_resnet20")
    bad = IMAGES.clone()
    bad[3, 1, 2, 2] = math.nan
    with pytest.raises(DataError, match=r"'images' has values .* Check the images"):
        net.quantized(BitWidths(8, 8), images=bad)


def test_activations_that_are_not_finite_are_refused_by_name() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), *head(4)).eval()
    places = find_places(network, IMAGES)
    with torch.no_grad():
        network.get_parameter("0.bias")[0] = math.inf
    with pytest.raises(DataError, match=r"'1\|relu\|0' has values"):
        quantize(network, places, dict.fromkeys(places.reads, BitWidths(8, 8)), IMAGES)


def test_rounding_layers_singly_leaves_the_network_as_it_was() -> None:
    net = prepared("cifar_resnet20")
    network = net.fresh()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    parameters = [id(each) for each in network.parameters()]
    with torch.no_grad():
        wanted = network(UNSEEN)
        found = round_singly(network, net.places, (4, 8), (4, 8), IMAGES)
        assert torch.equal(network(UNSEEN), wanted)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert [id(each) for each in network.parameters()] == parameters
    assert set(found.weights) == {(layer, bits) for layer in net.places.reads for bits in (4, 8)}
    assert set(found.activations) == {(key, bits) for key in net.places.keys for bits in (4, 8)}


def test_a_layer_rounded_singly_is_the_one_of_a_network_that_is_float_otherwise() -> None:
    net = prepared("cifar_resnet20")
    found = round_singly(net.fresh(), net.places, (4,), (8,), IMAGES)
    weight, bias = found.weights["layer2.0.conv1", 4]
    float_layer = net.float_network.get_submodule("layer2.0.conv1")
    assert isinstance(float_layer, nn.Conv2d)
    inputs: list[Tensor] = []
    float_layer.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    with torch.no_grad():
        net.float_network(IMAGES)
        wanted = float_layer(inputs[0])
        given = torch.nn.functional.conv2d(inputs[0], weight, bias, float_layer.stride, float_layer.padding)
    assert all(len(set(channel.flatten().tolist())) <= 15 for channel in weight)
    torch.testing.assert_close(given.mean((0, 2, 3)), wanted.mean((0, 2, 3)), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(given.std((0, 2, 3)), wanted.std((0, 2, 3)), rtol=1e-3, atol=1e-3)
    assert float((given - wanted).square().mean()) < 0.05 * float(wanted.var())
