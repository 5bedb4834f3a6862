from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl.compress.equalization import CappedReLU
from automl.compress.folding import fold, foldable
from automl.compress.places import Places, find_places, with_quantizable
from automl.compress.surgery import slim
from automl.core.graph import Quantizable
from automl.tracing.trace import trace
from tests.families import lively

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LARGE = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


class Parts(nn.Module):
    """Four convolutions of a width, and a classifier, for forward methods of choice."""

    def __init__(self, forward: Callable[["Parts", Tensor], Tensor]) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.c = nn.Conv2d(4, 4, 3, padding=1)
        self.gate = nn.Conv2d(4, 4, 1)
        self.wide = nn.Conv2d(8, 4, 1)
        self.flat = nn.Linear(4 * 16 * 16, 5)
        self.head = nn.Linear(4, 5)
        self._method = forward

    def forward(self, images: Tensor) -> Tensor:
        return self._method(self, images)


def places(forward: Callable[[Parts, Tensor], Tensor]) -> Places:
    return find_places(Parts(forward).eval(), IMAGES)


def rectified(net: Parts, x: Tensor) -> Tensor:
    return net.flat(F.relu6(net.a(x)).flatten(1))  # type: ignore[no-any-return]


def plain(net: Parts, x: Tensor) -> Tensor:
    return net.flat(net.a(x).flatten(1))  # type: ignore[no-any-return]


def pooled(net: Parts, x: Tensor) -> Tensor:
    maps = net.b(F.interpolate(F.max_pool2d(net.a(x).relu(), 2), scale_factor=2.0))
    return net.head(F.adaptive_avg_pool2d(maps, 1).flatten(1))  # type: ignore[no-any-return]


def downsampled(net: Parts, x: Tensor) -> Tensor:
    return net.head(net.b(F.max_pool2d(net.a(x).relu(), 2)).mean((2, 3)))  # type: ignore[no-any-return]


def residual(net: Parts, x: Tensor) -> Tensor:
    stem = net.a(x).relu()
    return net.head((stem + net.c(net.b(stem).relu())).relu().mean((2, 3)))  # type: ignore[no-any-return]


def residual_in_place(net: Parts, x: Tensor) -> Tensor:
    stem = net.a(x).relu()
    maps = net.c(net.b(stem).relu_())
    maps += stem
    return net.head(maps.relu_().mean((2, 3)))  # type: ignore[no-any-return]


def joined(net: Parts, x: Tensor) -> Tensor:
    stem = net.a(x).relu()
    maps = torch.cat([net.b(stem).relu(), net.c(stem).relu()], dim=1)
    return net.head(net.wide(maps).mean((2, 3)))  # type: ignore[no-any-return]


def gated(net: Parts, x: Tensor) -> Tensor:
    stem = net.a(x).relu()
    weights = net.gate(stem.mean((2, 3), keepdim=True)).sigmoid()
    return net.head(net.b(stem * weights).mean((2, 3)))  # type: ignore[no-any-return]


def swished(net: Parts, x: Tensor) -> Tensor:
    return net.flat(F.silu(net.a(x)).flatten(1))  # type: ignore[no-any-return]


def twice(net: Parts, x: Tensor) -> Tensor:
    return net.head(net.b(net.b(net.a(x).relu()).relu()).mean((2, 3)))  # type: ignore[no-any-return]


def scaled(net: Parts, x: Tensor) -> Tensor:
    return net.flat((net.a(x) * 2.0).flatten(1))  # type: ignore[no-any-return]


CASES: list[tuple[Callable[[Parts, Tensor], Tensor], tuple[str, ...], dict[str, str]]] = [
    # A rectifier takes the quantizer of the layer in front of it; the logits stay float.
    (rectified, ("images", "|relu6|0"), {"a": "images", "flat": "|relu6|0"}),
    (plain, ("images", "a|conv2d|0"), {"a": "images", "flat": "a|conv2d|0"}),
    # What only moves values has the grid of what it reads.
    (downsampled, ("images", "|relu|0", "b|conv2d|0", "|mean|0"), {"a": "images", "b": "|relu|0", "head": "|mean|0"}),
    (
        residual,
        ("images", "|relu|0", "|relu|1", "c|conv2d|0", "|relu|2", "|mean|0"),
        {"a": "images", "b": "|relu|0", "c": "|relu|1", "head": "|mean|0"},
    ),
    (
        residual_in_place,
        ("images", "|relu|0", "|relu_|0", "c|conv2d|0", "|relu_|1", "|mean|0"),
        {"a": "images", "b": "|relu|0", "c": "|relu_|0", "head": "|mean|0"},
    ),
    (
        joined,
        ("images", "|relu|0", "|relu|1", "|relu|2", "|cat|0", "wide|conv2d|0", "|mean|0"),
        {"a": "images", "b": "|relu|0", "c": "|relu|0", "wide": "|cat|0", "head": "|mean|0"},
    ),
    # An attention: its sigmoid is computed in float from a quantized tensor, and quantized for the product.
    (
        gated,
        ("images", "|relu|0", "|mean|0", "gate|conv2d|0", "|sigmoid|0", "|mul|0", "b|conv2d|0", "|mean|1"),
        {"a": "images", "gate": "|mean|0", "b": "|mul|0", "head": "|mean|1"},
    ),
    (swished, ("images", "a|conv2d|0", "|silu|0"), {"a": "images", "flat": "|silu|0"}),
    # A product with a number has no kernel of its own, and is read by a layer.
    (scaled, ("images", "a|conv2d|0", "|mul|0"), {"a": "images", "flat": "|mul|0"}),
    # A layer that runs twice has no bit-widths.
    (
        twice,
        ("images", "|relu|0", "|relu|1", "b|conv2d|1", "|mean|0"),
        {"a": "images", "head": "|mean|0"},
    ),
]


@pytest.mark.parametrize(("forward", "keys", "reads"), CASES, ids=[forward.__name__ for forward, *_ in CASES])
def test_quantizers_stand_where_integer_kernels_read_and_write(
    forward: Callable[[Parts, Tensor], Tensor], keys: tuple[str, ...], reads: dict[str, str]
) -> None:
    found = places(forward)
    assert found.keys == keys
    assert dict(found.reads) == reads
    assert list(found.reads)[-1] in {"head", "flat"}
    assert found.last == (list(found.reads)[-1],)
    assert sorted(key for tied in found.tied for key in tied) == sorted(keys)


@pytest.mark.parametrize(
    ("forward", "tied"),
    [
        (residual, {("|relu|0", "c|conv2d|0")}),
        (residual_in_place, {("|relu|0", "c|conv2d|0")}),
        (joined, {("|relu|1", "|relu|2")}),
        (gated, set()),
        (downsampled, set()),
    ],
    ids=["residual", "residual_in_place", "joined", "gated", "downsampled"],
)
def test_what_one_addition_or_concatenation_reads_has_the_same_bits(
    forward: Callable[[Parts, Tensor], Tensor], tied: set[tuple[str, ...]]
) -> None:
    assert {keys for keys in places(forward).tied if len(keys) > 1} == tied


def test_bits_of_an_addition_are_those_of_the_layers_that_read_one_of_its_sides() -> None:
    layers = places(residual).layers_of()
    assert layers["|relu|0"] == layers["c|conv2d|0"] == ("b",)
    assert layers["|relu|2"] == ()
    assert layers["images"] == ("a",)


def test_a_pool_of_averages_has_a_grid_on_both_sides() -> None:
    found = places(pooled)
    assert found.keys[-2:] == ("b|conv2d|0", "|adaptive_avg_pool2d|0")


def test_a_sum_has_bits_of_its_own() -> None:
    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 1)
            self.blocks = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(3))
            self.head = nn.Linear(4, 2)

        def forward(self, images: Tensor) -> Tensor:
            maps = self.stem(images)
            for block in self.blocks:
                maps = maps + block(maps)
            logits: Tensor = self.head(maps.mean((2, 3)))
            return logits

    found = find_places(Chain().eval(), IMAGES)
    assert [set(keys) for keys in found.tied if len(keys) > 1] == [
        {"stem|conv2d|0", "blocks/0|conv2d|0"},
        {"|add|0", "blocks/1|conv2d|0"},
        {"|add|1", "blocks/2|conv2d|0"},
    ]
    assert found.layers_of()["blocks/2|conv2d|0"] == ("blocks.2",)


@pytest.mark.parametrize("between", [nn.ReLU(), nn.ReLU6(), nn.Hardtanh(0.0, 6.0), CappedReLU(torch.full((4,), 6.0))])
def test_every_rectifier_takes_the_quantizer_of_the_layer_in_front(between: nn.Module) -> None:
    found = find_places(nn.Sequential(nn.Conv2d(3, 4, 1), between, nn.Conv2d(4, 5, 1), nn.Flatten()).eval(), IMAGES)
    assert [key.split("|")[0] for key in found.keys] == ["images", "1"]
    assert found.last == ("2",)


def of_graph(spec: str, size: int) -> Quantizable:
    model = lively(spec)
    found = with_quantizable(model, trace(model, (3, size, size))).graph.quantizable
    assert found is not None
    return found


def test_a_residual_network_for_cifar() -> None:
    found = of_graph("cifar_resnet20", 32)
    assert len(found.layers) == 22  # 19 convolutions in a row, two shortcuts, and a classifier
    assert len(found.folded) == 21
    assert found.ends == ("conv1", "fc")
    # A shortcut's convolution reads what the block's first one reads.
    assert [layers for layers in found.inputs if len(layers) > 1] == [
        (f"layer{stage}.0.conv1", f"layer{stage}.0.shortcut.0") for stage in (2, 3)
    ]


def test_a_mobilenet() -> None:
    found = of_graph("torchvision:mobilenet_v2", 64)
    assert len(found.layers) == 53  # 52 convolutions and a classifier
    assert len(found.folded) == 52
    assert found.ends == ("features.0.0", "classifier.1")
    assert found.inputs == tuple((layer,) for layer in found.layers)
    model = lively("torchvision:mobilenet_v2")
    network = slim(model, trace(model, (3, 64, 64)).channel_map, {}).eval()
    fold(network, foldable(model, trace(model, (3, 64, 64)), LARGE))
    # Ten blocks add what they read to what their projection makes.
    assert len([keys for keys in find_places(network, LARGE).tied if len(keys) > 1]) == 10
