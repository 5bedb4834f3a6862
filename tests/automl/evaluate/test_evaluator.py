import pytest
import torch
from torch import nn

from automl.compress.importance import scores
from automl.compress.reconstruction import Recovery
from automl.core.errors import PolicyError
from automl.core.policy import CompressionPolicy, dense_policy
from automl.costs.model import AnalyticCostModel
from automl.evaluate.evaluator import DenseNetwork, ModelEvaluator
from automl.tracing.trace import trace
from tests.families import lively

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dense() -> DenseNetwork:
    model: nn.Module = lively("cifar_resnet20")
    traced = trace(model, (3, 16, 16))
    images = torch.randn(64, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    channel_scores = scores(model, traced, "l2")
    recovery = Recovery(model, traced, channel_scores, [images])
    return DenseNetwork(model, traced, channel_scores, recovery, [(images, torch.zeros(64))], CPU)


@pytest.fixture(scope="module")
def evaluator(dense: DenseNetwork) -> ModelEvaluator:
    images = torch.randn(40, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(40) % 10
    return ModelEvaluator(
        dense, AnalyticCostModel(dense.traced.graph), [(images[:20], labels[:20]), (images[20:], labels[20:])]
    )


def test_an_evaluation_is_of_a_smaller_network(dense: DenseNetwork, evaluator: ModelEvaluator) -> None:
    half = CompressionPolicy({group.name: group.channels // 2 for group in dense.traced.graph.prunable})
    smaller = dense.slimmed(half)
    evaluation = evaluator(half)
    assert evaluation.cost.params == sum(parameter.numel() for parameter in smaller.parameters())
    assert evaluation.images == 40
    assert evaluation.divergence > 0
    assert 0 <= evaluation.accuracy_ci95[0] <= evaluation.accuracy <= evaluation.accuracy_ci95[1] <= 1


def test_the_same_policy_is_worth_the_same_twice(dense: DenseNetwork, evaluator: ModelEvaluator) -> None:
    policy = CompressionPolicy({dense.traced.graph.prunable[0].name: 8})
    assert evaluator(policy).divergence == evaluator(policy).divergence


def test_evaluating_leaves_the_dense_network_alone(dense: DenseNetwork, evaluator: ModelEvaluator) -> None:
    before = {name: tensor.clone() for name, tensor in dense.model.state_dict().items()}
    evaluator(CompressionPolicy({group.name: 4 for group in dense.traced.graph.prunable}))
    evaluator(dense_policy(dense.traced.graph))
    assert all(torch.equal(tensor, before[name]) for name, tensor in dense.model.state_dict().items())


def test_a_policy_that_does_not_fit_is_refused(evaluator: ModelEvaluator) -> None:
    with pytest.raises(PolicyError):
        evaluator(CompressionPolicy({"nowhere": 4}))
