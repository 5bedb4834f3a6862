import numpy as np
import pytest
import torch
from torch import nn

from automl.compress.importance import most_important, scores
from automl.core.errors import InputError
from automl.core.policy import CompressionPolicy
from automl.tracing.trace import trace
from tests.automl.tracing.test_trace import Residual


def chain() -> nn.Sequential:
    """Two convolutions with batch norm; filter i of the first has entries of size i."""
    conv, norm = nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([1.0, -2.0, 3.0, -4.0]).reshape(4, 1, 1, 1).expand(4, 3, 1, 1))
        norm.weight.copy_(torch.tensor([4.0, -3.0, 2.0, 1.0]))
    return nn.Sequential(conv, norm, nn.Conv2d(4, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize("criterion", ["l1", "l2"])
def test_norms_rank_filters_by_size(criterion: str) -> None:
    traced = trace(chain(), (3, 2, 2))
    values = scores(chain(), traced, criterion)["0"]
    # The norms are proportional to 1, 2, 3, 4; scaled to mean 1.
    assert values == pytest.approx([0.4, 0.8, 1.2, 1.6])


def test_batch_norm_scales_rank_channels_by_their_absolute_value() -> None:
    traced = trace(chain(), (3, 2, 2))
    assert scores(chain(), traced, "bn")["0"] == pytest.approx([1.6, 1.2, 0.8, 0.4])


def test_taylor_scores_are_the_squared_first_order_change() -> None:
    model = chain().eval()
    traced = trace(model, (3, 2, 2))
    images = torch.randn(8, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    logits = model(images)
    weight = model.get_parameter("0.weight")
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(logits, logits.argmax(1)), weight)
    expected = (weight * gradient).sum((1, 2, 3)).square().detach().double().numpy()
    assert scores(model, traced, "taylor", images=[images])["0"] == pytest.approx(expected / expected.mean(), rel=1e-4)


def test_random_scores_follow_the_seed() -> None:
    traced = trace(chain(), (3, 2, 2))
    first, again, other = (scores(chain(), traced, "random", seed=seed)["0"].tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_the_highest_scores_are_kept_in_the_order_of_the_network() -> None:
    traced = trace(chain(), (3, 2, 2))
    kept = most_important(traced, CompressionPolicy({"0": 2}), {"0": np.array([0.1, 0.9, 0.2, 0.8])})
    assert kept["0"].tolist() == [1, 3]


def test_every_group_gets_a_score_per_channel() -> None:
    traced = trace(Residual(), (3, 8, 8))
    for criterion in ("l1", "l2", "bn", "taylor", "random"):
        values = scores(Residual(), traced, criterion, images=[torch.randn(2, 3, 8, 8)])
        assert {group: len(each) for group, each in values.items()} == {"stem": 16, "squeeze": 4}


def test_an_unknown_criterion_is_refused() -> None:
    with pytest.raises(InputError, match="l1, l2, taylor, bn, obs, random"):
        scores(chain(), trace(chain(), (3, 2, 2)), "l3")
