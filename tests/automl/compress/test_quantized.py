import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl.compress.batch_norm import recalibrate
from automl.compress.calibration import quantize
from automl.compress.folding import fold, foldable
from automl.compress.places import dense_places, find_places
from automl.compress.quantized import QuantizedNetwork, Quantizer
from automl.compress.surgery import KeptChannels, slim
from automl.core.bits import BitWidths
from automl.tracing.trace import trace
from tests.families import lively
from tests.pictures import pictures

IMAGES = pictures(64, seed=0)
UNSEEN = pictures(16, seed=1)


def quantized(bits: BitWidths, images: Tensor = IMAGES, *, dropped: bool = False) -> tuple[nn.Module, QuantizedNetwork]:
    """The float network with its batch norms folded, and the same with all layers at `bits`."""
    model = lively("cifar_resnet20")
    recalibrate(model, [IMAGES])  # as trained networks are: their statistics are those of the images
    traced = trace(model, (3, 16, 16))
    norms = foldable(model, traced, images[:2])
    kept: KeptChannels = {}
    if dropped:
        branch = next(group for group in traced.graph.prunable if group.droppable)
        kept = {name: np.arange(0) for name in (branch.name, *branch.drops)}
    pair = [slim(model, traced.channel_map, kept).eval() for _ in range(2)]
    for network in pair:
        fold(network, norms)
    places = dense_places(model, traced, norms, images[:2])
    chosen = dict.fromkeys(places.reads, bits)
    return pair[0], quantize(pair[1], places, chosen, images)


def distance(given: nn.Module, wanted: nn.Module) -> float:
    """Mean square error over the variance, on the images that the grids were fitted to: no value is clipped."""
    with torch.no_grad():
        difference = given(IMAGES) - wanted(IMAGES)
        return float(difference.square().mean() / wanted(IMAGES).var(dim=0).mean())


def weights_of(network: QuantizedNetwork) -> dict[str, Tensor]:
    return {name: network.network.get_submodule(name).get_parameter("weight") for name in network.weight_grids}


def levels(network: QuantizedNetwork) -> list[int]:
    """How many different values each activation takes."""
    counts: list[int] = []

    def count(module: nn.Module, inputs: object, output: Tensor) -> None:
        counts.append(len(set(output.flatten().tolist())))

    for name, each in network.named_modules():
        if isinstance(each, Quantizer) and "activation" in name:
            each.register_forward_hook(count)
    with torch.no_grad():
        network(UNSEEN)
    return counts


@pytest.mark.parametrize("bits", [(2, 4), (4, 8), (8, 5)])
def test_weights_and_activations_have_the_levels_of_their_bits(bits: tuple[int, int]) -> None:
    _, network = quantized(BitWidths(*bits))
    for weight in weights_of(network).values():
        for channel in weight.detach():
            assert len(set(channel.flatten().tolist())) <= 2 ** bits[0] - 1
    counts = levels(network)
    # Of 32, 21 are read by a layer, or tied to one that is; the others have 8 bits.
    assert len(counts) == len(network.activation_grids)
    assert all(count <= 2**8 for count in counts)
    assert sum(count <= 2 ** bits[1] for count in counts) >= 21


def test_eight_bits_answer_nearly_as_the_float_network() -> None:
    wanted, network = quantized(BitWidths(8, 8))
    assert distance(network, wanted) < 0.04
    assert distance(quantized(BitWidths(4, 4))[1], wanted) > 10 * distance(network, wanted)


def test_gradients_reach_every_weight_through_the_rounding() -> None:
    _, network = quantized(BitWidths(4, 8))
    network.rounds_weights = True
    network(UNSEEN).square().mean().backward()
    for name, weight in weights_of(network).items():
        assert weight.grad is not None, name
        assert float(weight.grad.abs().max()) > 0, name


def test_a_weight_that_is_clipped_learns_nothing() -> None:
    _, network = quantized(BitWidths(4, 8))
    network.rounds_weights = True
    weight, grid = weights_of(network)["layer1.0.conv1"], network.weight_grids["layer1.0.conv1"]
    with torch.no_grad():
        weight[0, 0, 0, 0] = 9 * grid.scale[0]
        weight[0, 0, 0, 1] = 7.4 * grid.scale[0]
    network(UNSEEN).square().mean().backward()
    assert weight.grad is not None
    assert float(weight.grad[0, 0, 0, 0]) == 0.0
    assert float(weight.grad[0, 0, 0, 1]) != 0.0


def test_training_computes_with_rounded_weights_and_baking_keeps_them() -> None:
    _, network = quantized(BitWidths(4, 8))
    network.rounds_weights = True
    with torch.no_grad():
        for weight in weights_of(network).values():
            weight.add_(0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)))
        before = network(UNSEEN)
        network.bake()
        network.rounds_weights = False
        assert torch.allclose(network(UNSEEN), before, atol=1e-5)
    for name, weight in weights_of(network).items():
        grid = network.weight_grids[name]
        assert torch.allclose(grid.rounded(weight.detach()), weight, atol=1e-6)


def test_its_state_is_stored_with_its_grids() -> None:
    _, first = quantized(BitWidths(4, 8))
    _, other = quantized(BitWidths(4, 8), images=3 * UNSEEN)
    with torch.no_grad():
        assert not torch.equal(first(UNSEEN), other(UNSEEN))
        other.load_state_dict(first.state_dict())
        assert torch.equal(first(UNSEEN), other(UNSEEN))
        assert torch.equal(copy.deepcopy(first)(UNSEEN), first(UNSEEN))


def test_a_dropped_branch_takes_its_quantizers_with_it() -> None:
    wanted, network = quantized(BitWidths(8, 8), dropped=True)
    whole = quantized(BitWidths(8, 8))[1]
    gone = set(whole.bits) - set(network.bits)
    assert len(gone) == 2
    assert set(network.bits) == set(network.weight_grids)
    assert set(network.activation_grids) < set(whole.activation_grids)
    assert distance(network, wanted) < 0.04


def test_a_functional_layer_with_keywords_is_left_alone() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = nn.Parameter(torch.ones(4, 3, 1, 1))
            self.head = nn.Linear(4, 2)

        def forward(self, images: Tensor) -> Tensor:
            maps = F.conv2d(images, weight=self.kernel)
            logits: Tensor = self.head(maps.relu().mean((2, 3)))
            return logits

    network = Functional().eval()
    found = find_places(network, IMAGES)
    assert list(found.reads) == ["head"]
    made = quantize(network, found, {"head": BitWidths(8, 8)}, IMAGES)
    made.rounds_weights = True
    assert made(UNSEEN).shape == (16, 2)
    assert torch.equal(made.network.get_parameter("kernel"), torch.ones(4, 3, 1, 1))
