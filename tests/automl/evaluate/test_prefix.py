import pytest
import torch
from torch import Tensor, nn

from automl.compress.importance import most_important, scores
from automl.compress.surgery import kept_entries, slim
from automl.core.policy import CompressionPolicy
from automl.evaluate import prefix
from automl.evaluate.prefix import PrefixCache
from automl.tracing.trace import trace
from tests.families import lively

BATCHES = [torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]


def calls(model: nn.Module) -> list[str]:
    """Names of the convolutions that run from now on."""
    seen: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda _, __, name=name: seen.append(name))
    return seen


@pytest.mark.parametrize("spec", ["cifar_resnet20", "torchvision:mobilenet_v2", "torchvision:densenet121"])
def test_a_shortened_network_answers_what_the_whole_one_answers(spec: str) -> None:
    model = lively(spec)
    traced = trace(model, (3, 32, 32))
    cache = PrefixCache(model, BATCHES)
    groups = traced.graph.prunable
    for group in (groups[0], groups[len(groups) // 2], groups[-1]):
        policy = CompressionPolicy({group.name: max(1, group.channels // 2)})
        kept = most_important(traced, policy, scores(model, traced, "l2"))
        changed = {key.rpartition(".")[0] for key, _ in kept_entries(traced.channel_map, kept)}
        whole = slim(model, traced.channel_map, kept).eval()
        short = cache.shortened(slim(model, traced.channel_map, kept).eval(), changed)
        with torch.no_grad():
            for batch in BATCHES:
                assert torch.equal(short(batch), whole(batch))


def test_what_lies_in_front_of_the_first_change_does_not_run() -> None:
    model = lively("cifar_resnet20")
    traced = trace(model, (3, 32, 32))
    cache = PrefixCache(model, BATCHES)
    last = traced.graph.prunable[-1].name
    kept = most_important(traced, CompressionPolicy({last: 32}), scores(model, traced, "l2"))
    changed = {key.rpartition(".")[0] for key, _ in kept_entries(traced.channel_map, kept)}
    short = cache.shortened(slim(model, traced.channel_map, kept).eval(), changed)
    ran = calls(short)
    with torch.no_grad():
        for batch in BATCHES:
            short(batch)
    # The last group lies inside the last block, which therefore runs, and no other.
    assert len(ran) == 4
    assert len({name.rpartition(".")[0] for name in ran}) == 1


class Overwritten(nn.Module):
    """Writes into the first block's output after the block has returned it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3))
        self.second = nn.Sequential(nn.Conv2d(8, 4, 3))

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        z: Tensor = self.second(y.relu_()) + y.mean()
        return z.mean((2, 3))


def test_an_output_that_is_written_to_later_is_not_replayed() -> None:
    model = Overwritten().eval()
    cache = PrefixCache(model, BATCHES)
    short = cache.shortened(model, ["second.0"])
    assert isinstance(short.get_submodule("first"), nn.Sequential)


def test_nothing_is_kept_where_it_would_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix, "MOST_BYTES", 1000)
    model = lively("cifar_resnet20")
    cache = PrefixCache(model, BATCHES)
    short = cache.shortened(slim(model, trace(model, (3, 32, 32)).channel_map, {}).eval(), ["fc"])
    ran = calls(short)
    with torch.no_grad():
        short(BATCHES[0])
    assert len(ran) >= 19
