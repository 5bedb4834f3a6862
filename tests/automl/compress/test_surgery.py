from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from automl.compress.importance import most_important, scores
from automl.compress.masking import masked_forward
from automl.compress.surgery import slim
from automl.core.budget import Budget
from automl.core.policy import CompressionPolicy, dense_policy
from automl.core.projection import Projection
from automl.costs.model import STRUCTURE_BYTES_PER_LAYER, AnalyticCostModel
from automl.tracing.trace import trace
from search_spaces.rules import default_rule
from search_spaces.space import channel_space
from tests.automl.tracing.test_trace import Concat, Grouped, Residual, Shared
from tests.families import PRUNE_FULLY, PRUNE_IN_PART, lively, native_size

POLICIES = 20


def counted_macs(model: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Multiply-adds of one image by torch's own counter, which counts each twice."""
    with torch.inference_mode(False), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *input_shape))
    return int(counter.get_total_flops()) // 2


@pytest.mark.slow
@pytest.mark.parametrize("spec", [*PRUNE_FULLY, *PRUNE_IN_PART])
def test_sliced_equals_masked_and_costs_equal_what_the_sliced_module_counts(spec: str) -> None:
    size = 32 if spec.startswith("cifar") else 64
    model = lively(spec)
    traced = trace(model, (3, size, size))
    space = channel_space(traced.graph, default_rule(traced.graph))
    cost_model = AnalyticCostModel(traced.graph)
    generator = np.random.default_rng(0)
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    assert len(space.knobs) > 10
    # The classifiers of these alone have a hundred million weights.
    for _ in range(5 if "vgg" in spec else POLICIES):
        policy = space.sample(generator)
        kept = most_important(traced, policy, scores(model, traced, "random", seed=int(generator.integers(99))))
        smaller = slim(model, traced.channel_map, kept)
        with torch.no_grad():
            expected, actual = masked_forward(model, traced, kept, images), smaller(images)
        assert float((actual - expected).abs().max() / expected.abs().max()) < 1e-4
        cost = cost_model(policy)
        assert cost.macs == counted_macs(smaller, (3, size, size))
        assert cost.params == sum(parameter.numel() for parameter in smaller.parameters())
        stored = [*smaller.parameters(), *smaller.buffers()]
        structure = STRUCTURE_BYTES_PER_LAYER * len(traced.graph.layers)
        assert cost.size_bytes == structure + sum(tensor.numel() * tensor.element_size() for tensor in stored)


@pytest.mark.slow
@pytest.mark.parametrize("spec", PRUNE_FULLY)
@pytest.mark.parametrize("text", ["0.25flops", "0.5flops,0.4params,0.45size"])
def test_the_projection_meets_every_budget_and_uses_98_percent_of_it(spec: str, text: str) -> None:
    size = native_size(spec)
    graph = trace(lively(spec), (3, size, size)).graph
    space = channel_space(graph, default_rule(graph))
    cost_model = AnalyticCostModel(graph)
    dense = cost_model(dense_policy(graph))
    budget = Budget.parse(text)
    projection = Projection(space.knobs, cost_model, budget, dense)
    full = np.array([knob.choices[-1] for knob in space.knobs])
    for proposal in np.random.default_rng(0).random((POLICIES, len(full))) * full:
        widths = projection(proposal)
        policy = CompressionPolicy({k.target: int(w) for k, w in zip(space.knobs, widths, strict=True)})
        assert budget.satisfied_by(cost_model(policy), dense)
        assert budget.used(cost_model(policy), dense) >= 0.98
        assert projection(widths.astype(float)).tolist() == widths.tolist()


@pytest.mark.parametrize("kind", [Residual, Concat, Grouped, Shared])
def test_small_networks_of_every_coupling_slice_as_they_mask(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = kind().eval()
    traced = trace(model, (3, 8, 8))
    policy = CompressionPolicy({group.name: max(1, group.channels // 2) for group in traced.graph.prunable})
    kept = most_important(traced, policy, scores(model, traced, "l1"))
    smaller = slim(model, traced.channel_map, kept)
    images = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(smaller(images), masked_forward(model, traced, kept, images))
    assert AnalyticCostModel(traced.graph)(policy).macs == counted_macs(smaller, (3, 8, 8))


def test_whole_tensors_are_shared_unless_the_network_must_own_its_memory() -> None:
    model = Concat()
    channel_map = trace(model, (3, 4, 4)).channel_map
    kept = {"right": np.arange(6)}
    sharing, owning = slim(model, channel_map, kept), slim(model, channel_map, kept, own_memory=True)
    assert dict(sharing.named_parameters())["left.weight"] is model.left.weight
    own = dict(owning.named_parameters())["left.weight"]
    assert own.data_ptr() != model.left.weight.data_ptr()
    assert torch.equal(own, model.left.weight)


def test_the_sizes_that_modules_keep_follow_their_weights() -> None:
    model = Residual()
    smaller = slim(model, trace(model, (3, 8, 8)).channel_map, {"stem": np.array([1, 3, 8])})
    assert isinstance(smaller, Residual)
    assert (smaller.depthwise.groups, smaller.depthwise.in_channels, smaller.depthwise.out_channels) == (3, 3, 3)
    assert smaller.bn.num_features == 3
    assert smaller.fc.in_features == 3 * 16
    assert model.depthwise.groups == 16


def test_a_slimmed_network_can_be_traced_and_slimmed_again() -> None:
    model: nn.Module = lively("cifar_resnet56")
    sizes = []
    for _ in range(2):
        traced = trace(model, (3, 32, 32))
        policy = CompressionPolicy({group.name: max(1, group.channels // 2) for group in traced.graph.prunable})
        model = slim(model, traced.channel_map, most_important(traced, policy, scores(model, traced, "l2")))
        sizes.append(sum(parameter.numel() for parameter in model.parameters()))
    assert all(smaller < larger / 2 for larger, smaller in pairwise([853_018, *sizes]))
